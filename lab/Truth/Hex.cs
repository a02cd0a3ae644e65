using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Forengate.Lab.Truth;

/// <summary>A number that JSON shows as "0x…": an address, a mask, a register.</summary>
[JsonConverter(typeof(HexConverter))]
internal readonly record struct Hex(ulong Value)
{
    public static implicit operator Hex(ulong value) => new(value);

    public override string ToString() => $"0x{Value:x}";
}

internal sealed class HexConverter : JsonConverter<Hex>
{
    public override Hex Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var text = reader.GetString()!;
        return new Hex(ulong.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
    }

    public override void Write(Utf8JsonWriter writer, Hex value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
}
