namespace Forengate.Lab.Tables;

/// <summary>A type table is missing, damaged, or does not have what an image needs.</summary>
internal sealed class TableException(string message) : Exception(message);
