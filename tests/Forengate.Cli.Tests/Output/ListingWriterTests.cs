using System.Text;
using System.Text.Json;
using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class ListingWriterTests
{
    private sealed record Row(string? Name, long? Number, ulong? Address, DateTimeOffset? Time, bool Flag);

    private static readonly Column<Row>[] Columns =
    [
        new("NAME", "name", r => Cell.Text(r.Name)),
        new("NUMBER", "number", r => Cell.Number(r.Number)),
        new("ADDRESS", "address", r => Cell.Address(r.Address)),
        new("TIME", "time", r => Cell.Time(r.Time)),
        new("FLAG", "flag", r => Cell.Boolean(r.Flag)),
        new(null, "hiddenInTables", r => Cell.Number(7)),
    ];

    private static readonly Row[] Rows =
    [
        new("plain", 4, 0xfffff80000001000, new DateTimeOffset(2026, 3, 17, 9, 26, 53, 589, TimeSpan.Zero), true),
        new("com,ma \"quoted\"\nnext", -1, 0, null, false),
        new("表 Größe 😀", null, null, null, false),
        new("\u001b]0;owned\u0007\u202Etxt.exe", 10, 1, null, false),
        new("half \ud83d of a pair", 10, 1, null, false),
    ];

    private static string Write(OutputFormat format, IReadOnlyList<Row> rows)
    {
        using var stream = new MemoryStream();
        new ListingWriter<Row>(Columns).Write(stream, rows, format);
        return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(stream.ToArray());
    }

    [Fact]
    public void A_table_has_a_head_and_a_line_for_each_row_with_columns_in_line()
    {
        var lines = Write(OutputFormat.Table, [Rows[0], Rows[2]]).TrimEnd('\n').Split('\n');
        Assert.Equal(3, lines.Length);
        Assert.StartsWith("NAME         NUMBER  ADDRESS", lines[0], StringComparison.Ordinal);
        Assert.Equal(lines[0].IndexOf("ADDRESS", StringComparison.Ordinal), lines[1].IndexOf("0xfffff80000001000", StringComparison.Ordinal));
        Assert.Contains("2026-03-17 09:26:53", lines[1], StringComparison.Ordinal);
        Assert.DoesNotContain("hiddenInTables", lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_guest_wrote_cannot_steer_the_terminal()
    {
        var table = Write(OutputFormat.Table, Rows);
        Assert.DoesNotContain('\u001b', table);
        Assert.DoesNotContain('\u0007', table);
        Assert.DoesNotContain('\u202e', table);
        Assert.Contains(@"\u001b]0;owned\u0007\u202etxt.exe", table, StringComparison.Ordinal);
        Assert.Equal(1 + Rows.Length, table.TrimEnd('\n').Split('\n').Length);
    }

    [Fact]
    public void Json_is_one_array_with_every_column()
    {
        using var document = JsonDocument.Parse(Write(OutputFormat.Json, Rows));
        var rows = document.RootElement.EnumerateArray().ToArray();
        Assert.Equal(Rows.Length, rows.Length);
        Assert.Equal("0xfffff80000001000", rows[0].GetProperty("address").GetString());
        Assert.Equal("2026-03-17T09:26:53.5890000Z", rows[0].GetProperty("time").GetString());
        Assert.True(rows[0].GetProperty("flag").GetBoolean());
        Assert.Equal(7, rows[0].GetProperty("hiddenInTables").GetInt32());
        Assert.Equal(JsonValueKind.Null, rows[2].GetProperty("number").ValueKind);
        Assert.Equal(Rows[1].Name, rows[1].GetProperty("name").GetString());
        Assert.Equal("half \uFFFD of a pair", rows[4].GetProperty("name").GetString());
    }

    [Fact]
    public void Json_lines_are_one_object_a_line()
    {
        var lines = Write(OutputFormat.Jsonl, Rows).TrimEnd('\n').Split('\n');
        Assert.Equal(Rows.Length, lines.Length);
        foreach (var line in lines)
        {
            using var document = JsonDocument.Parse(line);
            Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
        }
    }

    [Fact]
    public void An_empty_listing_is_an_empty_array_an_empty_stream_or_a_head()
    {
        using var document = JsonDocument.Parse(Write(OutputFormat.Json, []));
        Assert.Equal(0, document.RootElement.GetArrayLength());
        Assert.Equal("", Write(OutputFormat.Jsonl, []));
        Assert.Equal("name,number,address,time,flag,hiddenInTables\r\n", Write(OutputFormat.Csv, []));
    }

    [Fact]
    public void Csv_quotes_as_rfc_4180_says()
    {
        var csv = Write(OutputFormat.Csv, [Rows[1]]);
        Assert.Equal("name,number,address,time,flag,hiddenInTables\r\n\"com,ma \"\"quoted\"\"\nnext\",-1,0x0,,false,7\r\n", csv);
    }
}
