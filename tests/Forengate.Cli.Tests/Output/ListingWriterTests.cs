using System.Text;
using System.Text.Json;
using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class ListingWriterTests
{
    private static readonly Column<(int Id, string? Name)>[] Columns =
    [
        new("ID", "id", row => Cell.Number(row.Id)),
        new("NAME", "name", row => Cell.Text(row.Name)),
        new(null, "address", row => Cell.Address((ulong)row.Id * 0x1000)),
        new("END", "end", _ => Cell.Text("x")),
    ];

    [Fact]
    public void A_table_lines_up_by_terminal_cells_and_leaves_out_headless_columns()
    {
        var lines = Write(OutputFormat.Table, (4, "System"), (12060, "データ.exe"), (8, null)).Split('\n');
        Assert.Equal(["   ID  NAME        END", "    4  System      x", "12060  データ.exe  x", "    8              x", ""], lines);
    }

    [Fact]
    public void A_table_of_nothing_has_its_heads()
    {
        Assert.Equal("ID  NAME  END\n", Write(OutputFormat.Table));
    }

    [Fact]
    public void A_table_lets_no_guest_drive_the_terminal()
    {
        var text = Write(OutputFormat.Table, (1, "\u001b[2J\u202eexe.txt\a\r\nforged line"));
        Assert.DoesNotContain('\u001b', text);
        Assert.DoesNotContain('\u202e', text);
        Assert.Equal(3, text.Split('\n').Length);
        Assert.Contains("\\u001b[2J\\u202eexe.txt\\u0007\\u000d\\u000aforged line", text, StringComparison.Ordinal);
    }

    [Fact]
    public void JSON_is_one_array_with_every_column()
    {
        var rows = JsonElement.Parse(Write(OutputFormat.Json, (4, "отчёт \"x\" \\ \u001b"), (8, null)));
        Assert.Equal(2, rows.GetArrayLength());
        Assert.Equal("отчёт \"x\" \\ \u001b", rows[0].GetProperty("name").GetString());
        Assert.Equal("0x4000", rows[0].GetProperty("address").GetString());
        Assert.Equal(JsonValueKind.Null, rows[1].GetProperty("name").ValueKind);
        Assert.Equal(0, JsonElement.Parse(Write(OutputFormat.Json)).GetArrayLength());
    }

    [Fact]
    public void JSON_lines_are_one_object_each()
    {
        var lines = Write(OutputFormat.Jsonl, (4, "a\nb"), (8, "c")).TrimEnd('\n').Split('\n');
        Assert.Equal(["a\nb", "c"], lines.Select(line => JsonElement.Parse(line).GetProperty("name").GetString()!));
        Assert.Equal("", Write(OutputFormat.Jsonl));
    }

    [Fact]
    public void Half_a_surrogate_pair_leaves_JSON_valid()
    {
        foreach (var (name, written) in new[] { ("\ud83d", "\ufffd"), ("a\udc00b", "a\ufffdb"), ("\udc00\ud83d", "\ufffd\ufffd"), ("\ud83d\ude80", "\ud83d\ude80") })
        {
            Assert.Equal(written, JsonElement.Parse(Write(OutputFormat.Json, (1, name)))[0].GetProperty("name").GetString());
            Assert.Equal(written, JsonElement.Parse(Write(OutputFormat.Jsonl, (1, name))).GetProperty("name").GetString());
        }
    }

    [Fact]
    public void CSV_is_RFC_4180()
    {
        Assert.Equal(
            "id,name,address,end\r\n4,\"say \"\"hi\"\", all\",0x4000,x\r\n8,\"two\r\nlines\",0x8000,x\r\n12,,0xc000,x\r\n16, plain ,0x10000,x\r\n",
            Write(OutputFormat.Csv, (4, "say \"hi\", all"), (8, "two\r\nlines"), (12, null), (16, " plain ")));
    }

    private static string Write(OutputFormat format, params (int Id, string? Name)[] rows)
    {
        using var stream = new MemoryStream();
        new ListingWriter<(int Id, string? Name)>(Columns).Write(stream, rows, format);
        // Strict: what is no UTF-8 must not get here.
        return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(stream.ToArray());
    }
}
