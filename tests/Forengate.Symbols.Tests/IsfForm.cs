using System.Text.Json;

namespace Forengate.Symbols.Tests;

/// <summary>A field in one line, of an ISF file and of ours: for comparing.</summary>
internal static class IsfForm
{
    public static string Of(JsonElement field)
    {
        var type = field.GetProperty("type");
        var at = field.GetProperty("offset").GetInt64();
        return type.GetProperty("kind").GetString() == "bitfield"
            ? $"{at} {OfType(type.GetProperty("type"))} bits {type.GetProperty("bit_position").GetInt32()} {type.GetProperty("bit_length").GetInt32()}"
            : $"{at} {OfType(type)}";
    }

    public static string Of(TypeField field) => field.IsBitField ? $"{field.Offset} {OfType(field.Type)} bits {field.BitPosition} {field.BitLength}" : $"{field.Offset} {OfType(field.Type)}";

    private static string OfType(JsonElement type) => type.GetProperty("kind").GetString() switch
    {
        "pointer" => $"pointer to {OfType(type.GetProperty("subtype"))}",
        "array" => $"{type.GetProperty("count").GetInt64()} of {OfType(type.GetProperty("subtype"))}",
        "function" => "function",
        var kind => $"{kind} {type.GetProperty("name").GetString()}",
    };

    private static string OfType(TypeReference type) => type.Kind switch
    {
        TypeKind.Pointer => $"pointer to {OfType(type.Element!)}",
        TypeKind.Array => $"{type.Count} of {OfType(type.Element!)}",
        TypeKind.Function => "function",
        TypeKind.Base => $"base {type.Name}",
        TypeKind.Enum => $"enum {type.Name}",
        TypeKind.Union => $"union {type.Name}",
        _ => $"struct {type.Name}",
    };
}
