using System.Text;

namespace Forengate.Symbols;

/// <summary>The types of a PDB by name and by number. Layouts are made when they are asked for, and kept.</summary>
internal sealed class TypeCatalog
{
    // LF_POINTER's attributes.
    private const int PointerKindMask = 0x1F;
    private const int PointerSizeShift = 13;
    private const int PointerSizeMask = 0x3F;
    private const int Near32 = 0x0A;
    private const int Near64 = 0x0C;

    private readonly TypeStream _types;
    private readonly SymbolLimits _limits;
    private readonly FieldListReader _lists;
    private readonly List<string> _damage;
    private readonly int _pointerSize;

    // In the order of their records; of two of a name, the last counts.
    private readonly Dictionary<string, uint> _composites = new(StringComparer.Ordinal);
    private readonly Dictionary<string, uint> _enums = new(StringComparer.Ordinal);
    // Decorated names, made of those only whose plain names are defined twice.
    private readonly Dictionary<string, uint> _uniques = new(StringComparer.Ordinal);
    private readonly Dictionary<uint, TypeReference> _references = [];
    private readonly Dictionary<uint, TypeLayout> _layouts = [];
    private readonly Dictionary<uint, IReadOnlyList<TypeField>> _fields = [];
    private readonly Dictionary<uint, EnumLayout> _constants = [];

    public TypeCatalog(TypeStream types, int pointerSize, SymbolLimits limits, List<string> damage)
    {
        (_types, _pointerSize, _limits, _damage) = (types, pointerSize, limits, damage);
        _lists = new FieldListReader(types, limits);
        var twice = new HashSet<string>(StringComparer.Ordinal);
        for (var index = TypeStream.FirstIndex; index < types.End; index++)
        {
            if (!TryDefinition(index, out var tag))
                continue;
            var names = tag.Kind == TypeKind.Enum ? _enums : _composites;
            var name = tag.NameAt(index);
            if (names.TryAdd(name, index))
                continue;
            twice.Add(name);
            names[name] = index;
        }
        if (twice.Count > 0)
            IndexUniqueNames(twice);
    }

    public IEnumerable<TypeLayout> Types => _composites.Values.Select(Layout);

    public IEnumerable<EnumLayout> Enums => _enums.Select(named => Enumeration(named.Key, named.Value));

    public TypeLayout? FindType(string name) => _composites.TryGetValue(name, out var index) ? Layout(index) : null;

    public EnumLayout? FindEnum(string name) => _enums.TryGetValue(name, out var index) ? Enumeration(name, index) : null;

    /// <summary>What the record of a number says; <see cref="TypeReference.Unknown"/> where it says nothing of use.</summary>
    public TypeReference Reference(uint index) => Reference(index, 0);

    private TypeReference Reference(uint index, int depth)
    {
        if (index < TypeStream.FirstIndex)
            return SimpleType.Of(index);
        if (_references.TryGetValue(index, out var known))
            return known;
        // Records refer to earlier ones; a cycle is a lie that the depth ends.
        if (depth > _limits.MaxDepth || !_types.TryGet(index, out var leaf, out var body))
            return TypeReference.Unknown;
        var made = Make(index, leaf, body, depth + 1);
        // A record that refers to itself has been made on the way.
        _references.TryAdd(index, made);
        return made;
    }

    private TypeReference Make(uint index, ushort leaf, ReadOnlySpan<byte> body, int depth)
    {
        var cursor = new ByteCursor(body);
        switch (leaf)
        {
            case CodeViewLeaf.Modifier:
                return Reference(cursor.U32(), depth);
            case CodeViewLeaf.Pointer:
                var target = cursor.U32();
                var size = PointerSize(cursor.U32());
                return new TypeReference(TypeKind.Pointer, "", size, Element: Reference(target, depth));
            case CodeViewLeaf.Procedure or CodeViewLeaf.MemberFunction:
                return new TypeReference(TypeKind.Function, "", 0);
            case CodeViewLeaf.Array or CodeViewLeaf.StridedArray:
                var element = Reference(cursor.U32(), depth);
                cursor.Skip(leaf == CodeViewLeaf.StridedArray ? 2 * sizeof(uint) : sizeof(uint));
                var bytes = Math.Max(cursor.Numeric(), 0);
                return new TypeReference(TypeKind.Array, "", bytes, element.Size == 0 ? 0 : bytes / element.Size, element);
            case CodeViewLeaf.BitField:
                // Only fields have bits; what else refers to them is shown as the unit.
                return Reference(cursor.U32(), depth);
            default:
                return TagRecord.TryRead(leaf, body, out var tag) ? Tagged(index, tag, depth) : TypeReference.Unknown;
        }
    }

    private TypeReference Tagged(uint index, TagRecord tag, int depth)
    {
        var name = tag.NameAt(index);
        if (tag.IsForward && DefinitionOf(name, tag) is { } definition && _types.TryGet(definition, out var leaf, out var body) && TagRecord.TryRead(leaf, body, out var whole))
            tag = whole;
        if (tag.Kind != TypeKind.Enum)
            return new TypeReference(tag.Kind, name, tag.IsForward ? 0 : tag.Size);
        var underlying = Reference(tag.Underlying, depth);
        return new TypeReference(TypeKind.Enum, name, underlying.Size, Element: underlying);
    }

    private uint? DefinitionOf(string name, TagRecord forward)
    {
        if (_uniques.Count > 0 && !forward.UniqueName.IsEmpty && _uniques.TryGetValue(Encoding.UTF8.GetString(forward.UniqueName), out var unique))
            return unique;
        return (forward.Kind == TypeKind.Enum ? _enums : _composites).TryGetValue(name, out var index) ? index : null;
    }

    private TypeLayout Layout(uint index)
    {
        if (_layouts.TryGetValue(index, out var known))
            return known;
        TryDefinition(index, out var tag);
        var layout = new TypeLayout(tag.NameAt(index), tag.Kind, tag.Size, Fields(tag.FieldList));
        _layouts.Add(index, layout);
        return layout;
    }

    /// <summary>Types of the same fields share their list, and here too.</summary>
    private IReadOnlyList<TypeField> Fields(uint list)
    {
        if (_fields.TryGetValue(list, out var known))
            return known;
        var fields = Entries(list).Select(entry => _types.TryGet(entry.Type, out var leaf, out var body) && leaf == CodeViewLeaf.BitField
            ? BitField(entry, body)
            : new TypeField(entry.Name, entry.Value, Reference(entry.Type), IsBase: entry.IsBase)).ToArray();
        _fields.Add(list, fields);
        return fields;
    }

    private TypeField BitField(FieldListReader.Entry entry, ReadOnlySpan<byte> body)
    {
        var cursor = new ByteCursor(body);
        var unit = cursor.U32();
        var (length, position) = (cursor.U8(), cursor.U8());
        return new TypeField(entry.Name, entry.Value, Reference(unit), position, length);
    }

    private EnumLayout Enumeration(string name, uint index)
    {
        if (_constants.TryGetValue(index, out var known))
            return known;
        TryDefinition(index, out var tag);
        var made = new EnumLayout(name, Reference(tag.Underlying), [.. Entries(tag.FieldList).Select(entry => new EnumConstant(entry.Name, entry.Value))]);
        _constants.Add(index, made);
        return made;
    }

    private List<FieldListReader.Entry> Entries(uint list)
    {
        var entries = new List<FieldListReader.Entry>();
        if (!_lists.TryRead(list, entries) && _damage.Count < PdbFile.MaxDamageLines)
            _damage.Add($"field list 0x{list:x}: damaged behind its first {entries.Count} members");
        return entries;
    }

    private bool TryDefinition(uint index, out TagRecord tag)
    {
        tag = default;
        return _types.TryGet(index, out var leaf, out var body) && TagRecord.TryRead(leaf, body, out tag) && !tag.IsForward;
    }

    private void IndexUniqueNames(HashSet<string> twice)
    {
        for (var index = TypeStream.FirstIndex; index < _types.End; index++)
        {
            if (TryDefinition(index, out var tag) && !tag.UniqueName.IsEmpty && twice.Contains(tag.NameAt(index)))
                _uniques[Encoding.UTF8.GetString(tag.UniqueName)] = index;
        }
    }

    private int PointerSize(uint attributes)
    {
        var size = (int)(attributes >> PointerSizeShift) & PointerSizeMask;
        return size != 0 ? size : (attributes & PointerKindMask) switch { Near64 => 8, Near32 => 4, _ => _pointerSize };
    }
}
