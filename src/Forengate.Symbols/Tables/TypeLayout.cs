namespace Forengate.Symbols;

/// <summary>A structure, class or union: its size and where its fields lie.</summary>
public sealed class TypeLayout(string name, TypeKind kind, long size, IReadOnlyList<TypeField> fields)
{
    /// <summary>Microsoft's name; what has none is called <c>__unnamed_1A2B</c> by its place in the file.</summary>
    public string Name { get; } = name;

    /// <summary>Struct, class or union.</summary>
    public TypeKind Kind { get; } = kind;

    /// <summary>Bytes.</summary>
    public long Size { get; } = size;

    /// <summary>In the order of the file.</summary>
    public IReadOnlyList<TypeField> Fields { get; } = fields;

    /// <summary>A field of this very type by its name; where a name occurs twice, the last; null where there is none. Base classes and anonymous members are not gone into.</summary>
    public TypeField? Find(string name)
    {
        for (var i = Fields.Count - 1; i >= 0; i--)
        {
            if (Fields[i].Name == name && !Fields[i].IsTransparent)
                return Fields[i];
        }
        return null;
    }

    public override string ToString() => $"{Name} (0x{Size:x} bytes)";
}
