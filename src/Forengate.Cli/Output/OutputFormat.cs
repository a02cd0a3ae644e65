namespace Forengate.Cli.Output;

/// <summary>How a listing is written to standard output. JSON field names are lowerCamelCase and stable.</summary>
internal enum OutputFormat
{
    Table,
    Json,
    Jsonl,
    Csv,
}
