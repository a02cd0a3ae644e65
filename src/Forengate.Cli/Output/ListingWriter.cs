using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Forengate.Cli.Output;

/// <summary>Writes one entity's rows in any of the output formats, from one description of its columns.</summary>
internal sealed class ListingWriter<T>(IReadOnlyList<Column<T>> columns)
{
    private const int ColumnGap = 2;

    public void Write(Stream output, IReadOnlyList<T> rows, OutputFormat format)
    {
        switch (format)
        {
            case OutputFormat.Table:
                WriteTable(output, rows);
                break;
            case OutputFormat.Csv:
                WriteCsv(output, rows);
                break;
            default:
                WriteJson(output, rows, lines: format == OutputFormat.Jsonl);
                break;
        }
        output.Flush();
    }

    private void WriteTable(Stream output, IReadOnlyList<T> rows)
    {
        var shown = columns.Where(column => column.Head is not null).ToArray();
        var widths = shown.Select(column => TerminalText.WidthOf(column.Head!)).ToArray();
        var rightAligned = new bool[shown.Length];
        var texts = new string[rows.Count][];
        for (var r = 0; r < rows.Count; r++)
        {
            var line = texts[r] = new string[shown.Length];
            for (var c = 0; c < shown.Length; c++)
            {
                var cell = shown[c].Value(rows[r]);
                line[c] = cell.ForPeople();
                rightAligned[c] |= cell.IsRightAligned;
                widths[c] = Math.Max(widths[c], TerminalText.WidthOf(line[c]));
            }
        }
        using var writer = new StreamWriter(output, new UTF8Encoding(false), 1 << 16, leaveOpen: true);
        var builder = new StringBuilder();
        WriteLine([.. shown.Select(column => column.Head!)]);
        foreach (var line in texts)
            WriteLine(line);

        void WriteLine(string[] line)
        {
            builder.Clear();
            for (var c = 0; c < line.Length; c++)
            {
                var padding = widths[c] - TerminalText.WidthOf(line[c]);
                if (rightAligned[c])
                    builder.Append(' ', padding);
                builder.Append(line[c]);
                if (c + 1 < line.Length)
                    builder.Append(' ', (rightAligned[c] ? 0 : padding) + ColumnGap);
            }
            writer.Write(builder);
            writer.Write('\n');
        }
    }

    private void WriteJson(Stream output, IReadOnlyList<T> rows, bool lines)
    {
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions
        {
            Indented = !lines,
            SkipValidation = true,
            // Names in any script stay readable; the output is data, not a web page.
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        });
        if (!lines)
            writer.WriteStartArray();
        foreach (var row in rows)
        {
            writer.WriteStartObject();
            foreach (var column in columns)
                column.Value(row).WriteTo(writer, column.Field);
            writer.WriteEndObject();
            if (lines)
            {
                writer.Flush();
                output.WriteByte((byte)'\n');
                writer.Reset();
            }
        }
        if (lines)
            return;
        writer.WriteEndArray();
        writer.Flush();
        output.WriteByte((byte)'\n');
    }

    /// <summary>RFC 4180, with a header line.</summary>
    private void WriteCsv(Stream output, IReadOnlyList<T> rows)
    {
        using var writer = new StreamWriter(output, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\r\n" };
        writer.WriteLine(string.Join(',', columns.Select(column => column.Field)));
        foreach (var row in rows)
            writer.WriteLine(string.Join(',', columns.Select(column => Quote(column.Value(row).ForCsv()))));
    }

    private static string Quote(string field) =>
        field.AsSpan().IndexOfAny(",\"\r\n") < 0 ? field : $"\"{field.Replace("\"", "\"\"")}\"";
}
