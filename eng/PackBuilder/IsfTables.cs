using System.Text.Json;
using Forengate.Symbols;

namespace Forengate.PackBuilder;

/// <summary>
/// The type tables of one kernel in Volatility 3's intermediate symbol format (JSON schema 6.1.0): user_types with sizes and fields, symbols with addresses relative to the image base.
/// </summary>
public sealed class IsfTables : IDisposable
{
    /// <summary>How both sources begin the names of types that have none.</summary>
    private const string Unnamed = "__unnamed";

    private readonly bool _unnamedOnceOnly;
    private readonly JsonDocument _document;
    private readonly JsonElement _types;
    private readonly JsonElement _symbols;

    /// <param name="json">The table.</param>
    /// <param name="unnamedOnceOnly">Whether types without a name that lie within such types are to be left alone: tables made from printed structures have their offsets wrong.</param>
    public IsfTables(Stream json, bool unnamedOnceOnly = false)
    {
        _unnamedOnceOnly = unnamedOnceOnly;
        _document = JsonDocument.Parse(json);
        _types = _document.RootElement.GetProperty("user_types");
        _symbols = _document.RootElement.GetProperty("symbols");
    }

    /// <summary>Size in bytes; null where the build has no such structure.</summary>
    public int? SizeOf(KernelStruct type) => TypeOf(type) is { } found ? found.GetProperty("size").GetInt32() : null;

    /// <summary>Where a field lies; null where the build has no such field.</summary>
    public FieldPlace? PlaceOf(KernelField field)
    {
        var name = KernelSchema.Fields[(int)field];
        if (TypeOf(name.Struct) is not { } type)
            return null;
        foreach (var path in name.Name.Split('|'))
        {
            if (Walk(type, path) is { } place)
                return place;
        }
        return null;
    }

    /// <summary>Address relative to the image base; null where the build has no such symbol.</summary>
    public uint? RvaOf(KernelGlobal global) =>
        First(_symbols, KernelSchema.Globals[(int)global]) is { } symbol && symbol.GetProperty("address").TryGetUInt32(out var rva) ? rva : null;

    public void Dispose() => _document.Dispose();

    private JsonElement? TypeOf(KernelStruct type) => First(_types, KernelSchema.Structs[(int)type]);

    /// <summary>Follows members through nested structures and unions, never through pointers.</summary>
    private FieldPlace? Walk(JsonElement type, string path)
    {
        var (offset, members, isUnnamed) = (0, path.Split('.'), false);
        for (var i = 0; i < members.Length; i++)
        {
            if (type.ValueKind == JsonValueKind.Undefined || !type.GetProperty("fields").TryGetProperty(members[i], out var found))
                return null;
            offset += found.GetProperty("offset").GetInt32();
            var form = found.GetProperty("type");
            if (form.GetProperty("kind").ValueEquals("bitfield"))
                return i == members.Length - 1 ? new FieldPlace(offset, form.GetProperty("bit_position").GetInt32(), form.GetProperty("bit_length").GetInt32()) : null;
            var inner = i == members.Length - 1 || !form.TryGetProperty("name", out var name) ? "" : name.GetString()!;
            if (_unnamedOnceOnly && isUnnamed && inner.StartsWith(Unnamed, StringComparison.Ordinal))
                return null;
            isUnnamed = inner.StartsWith(Unnamed, StringComparison.Ordinal);
            type = form.GetProperty("kind").GetString() is "struct" or "union" or "class" && _types.TryGetProperty(form.GetProperty("name").GetString()!, out var nested) ? nested : default;
        }
        return new FieldPlace(offset, 0, 0);
    }

    private static JsonElement? First(JsonElement owner, string names)
    {
        foreach (var name in names.Split('|'))
        {
            if (owner.TryGetProperty(name, out var found))
                return found;
        }
        return null;
    }
}
