namespace Forengate.Cli.Output;

/// <summary>One column of a listing: its head in a table, its field name in JSON and CSV, and where its value comes from.</summary>
/// <param name="Head">Short head for people; null keeps the column out of tables (JSON and CSV have every column).</param>
/// <param name="Field">lowerCamelCase name, never changed once released.</param>
/// <param name="Value">The value of one row.</param>
internal sealed record Column<T>(string? Head, string Field, Func<T, Cell> Value);
