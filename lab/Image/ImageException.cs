namespace Forengate.Lab.Image;

/// <summary>An image cannot be built as asked; the message says why and what to change.</summary>
internal sealed class ImageException(string message) : Exception(message);
