using System.Globalization;
using System.Text.Json;

namespace Forengate.Cli.Output;

internal enum CellKind : byte
{
    Nothing,
    Text,
    Number,
    Boolean,
    Address,
    Time,
}

/// <summary>One value of a listing, with the form it takes for people and for programs. Addresses are strings in JSON, times ISO 8601 in UTC.</summary>
internal readonly struct Cell
{
    private readonly CellKind _kind;
    private readonly string? _text;
    private readonly ulong _bits;

    private Cell(CellKind kind, string? text, ulong bits)
    {
        _kind = kind;
        _text = text;
        _bits = bits;
    }

    public bool IsRightAligned => _kind is CellKind.Number;

    public static Cell Text(string? value) => value is null ? default : new Cell(CellKind.Text, value, 0);

    public static Cell Number(long? value) => value is { } number ? new Cell(CellKind.Number, null, unchecked((ulong)number)) : default;

    public static Cell Boolean(bool? value) => value is { } flag ? new Cell(CellKind.Boolean, null, flag ? 1u : 0u) : default;

    public static Cell Address(ulong? value) => value is { } address ? new Cell(CellKind.Address, null, address) : default;

    public static Cell Time(DateTimeOffset? value) => value is { } time ? new Cell(CellKind.Time, null, (ulong)time.UtcTicks) : default;

    /// <summary>As a person reads it in a table.</summary>
    public string ForPeople() => _kind switch
    {
        CellKind.Text => TerminalText.MakeSafe(_text!),
        CellKind.Number => unchecked((long)_bits).ToString(CultureInfo.InvariantCulture),
        CellKind.Boolean => _bits != 0 ? "yes" : "",
        CellKind.Address => $"0x{_bits:x}",
        CellKind.Time => new DateTime((long)_bits, DateTimeKind.Utc).ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
        _ => "",
    };

    /// <summary>As a CSV field, before quoting.</summary>
    public string ForCsv() => _kind switch
    {
        CellKind.Text => _text!,
        CellKind.Boolean => _bits != 0 ? "true" : "false",
        CellKind.Time => IsoTime(),
        _ => ForPeople(),
    };

    public void WriteTo(Utf8JsonWriter writer, string name)
    {
        switch (_kind)
        {
            case CellKind.Text:
                writer.WriteString(name, TerminalText.ReplaceLoneSurrogates(_text!));
                break;
            case CellKind.Number:
                writer.WriteNumber(name, unchecked((long)_bits));
                break;
            case CellKind.Boolean:
                writer.WriteBoolean(name, _bits != 0);
                break;
            case CellKind.Address:
                writer.WriteString(name, $"0x{_bits:x}");
                break;
            case CellKind.Time:
                writer.WriteString(name, IsoTime());
                break;
            default:
                writer.WriteNull(name);
                break;
        }
    }

    private string IsoTime() =>
        new DateTime((long)_bits, DateTimeKind.Utc).ToString("yyyy-MM-ddTHH:mm:ss.fffffff", CultureInfo.InvariantCulture) + "Z";
}
