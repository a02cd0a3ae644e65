using System.Text;
using System.Text.Json;
using Forengate.Cli.Output;

namespace Forengate.Cli.Tests.Output;

public sealed class CellTests
{
    private static readonly DateTimeOffset Moment = new(2026, 3, 17, 11, 26, 53, 589, TimeSpan.FromHours(2));

    [Fact]
    public void People_read_addresses_in_hex_times_to_the_second_and_a_no_as_nothing()
    {
        Assert.Equal("0xfffff8072b600000", Cell.Address(0xFFFFF8072B600000).ForPeople());
        Assert.Equal("0x0", Cell.Address(0).ForPeople());
        Assert.Equal("2026-03-17 09:26:53", Cell.Time(Moment).ForPeople());
        Assert.Equal("-5", Cell.Number(-5).ForPeople());
        Assert.Equal("yes", Cell.Boolean(true).ForPeople());
        Assert.Equal("", Cell.Boolean(false).ForPeople());
    }

    [Fact]
    public void Programs_read_times_as_ISO_8601_in_UTC_with_every_tick()
    {
        Assert.Equal("2026-03-17T09:26:53.5890000Z", Cell.Time(Moment).ForCsv());
        Assert.Equal("2026-03-17T09:26:53.5890001Z", Json(Cell.Time(Moment.AddTicks(1))).GetString());
        Assert.Equal("false", Cell.Boolean(false).ForCsv());
        Assert.Equal(JsonValueKind.False, Json(Cell.Boolean(false)).ValueKind);
        Assert.Equal("0x1ad000", Json(Cell.Address(0x1AD000)).GetString());
        Assert.Equal(long.MaxValue, Json(Cell.Number(long.MaxValue)).GetInt64());
    }

    [Fact]
    public void What_is_unknown_is_null_in_JSON_and_empty_elsewhere()
    {
        foreach (var cell in new[] { Cell.Text(null), Cell.Number(null), Cell.Boolean(null), Cell.Address(null), Cell.Time(null) })
        {
            Assert.Equal("", cell.ForPeople());
            Assert.Equal("", cell.ForCsv());
            Assert.Equal(JsonValueKind.Null, Json(cell).ValueKind);
        }
    }

    [Fact]
    public void Only_numbers_stand_to_the_right()
    {
        Assert.True(Cell.Number(1).IsRightAligned);
        Assert.False(Cell.Address(1).IsRightAligned);
        Assert.False(Cell.Text("1").IsRightAligned);
    }

    private static JsonElement Json(Cell cell)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
        {
            writer.WriteStartObject();
            cell.WriteTo(writer, "value");
            writer.WriteEndObject();
        }
        return JsonElement.Parse(Encoding.UTF8.GetString(stream.ToArray())).GetProperty("value");
    }
}
