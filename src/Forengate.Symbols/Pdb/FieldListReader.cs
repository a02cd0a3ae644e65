namespace Forengate.Symbols;

/// <summary>Reads a field list record, and those it goes on in. What has no place in an object (methods, nested types, static members) is passed over.</summary>
/// <param name="types">Where the records are.</param>
/// <param name="limits">How many members are believed.</param>
internal sealed class FieldListReader(TypeStream types, SymbolLimits limits)
{
    /// <summary>Member attributes (CV_fldattr_t): bits 2 to 4 say the kind of a method; these two have a place in the virtual table behind them.</summary>
    private const int MethodKindShift = 2;
    private const int MethodKindMask = 7;
    private const int IntroducingVirtual = 4;
    private const int PureIntroducingVirtual = 6;

    // A member takes eight bytes at least and each list is read once: a file whose lists share so much that this is not enough means harm.
    private long _budget = types.Length + 4096L;

    /// <summary>A member as it stands in the list: its type is still a number.</summary>
    /// <param name="Name">Its name; empty for none.</param>
    /// <param name="Type">Number of its type; 0 for a constant of an enumeration.</param>
    /// <param name="Value">Its offset, or a constant's value.</param>
    /// <param name="IsBase">A base class.</param>
    public readonly record struct Entry(string Name, uint Type, long Value, bool IsBase);

    /// <summary>The members in their order; false where the list is damaged: then those before the damage.</summary>
    public bool TryRead(uint list, List<Entry> entries)
    {
        // Each step of a continued list takes a record of its own, so more steps than records are a cycle.
        for (var steps = 0; list != 0; steps++)
        {
            if (--_budget < 0 || steps > types.Count || !types.TryGet(list, out var leaf, out var body) || leaf != CodeViewLeaf.FieldList || !TryReadOne(body, entries, out list))
                return false;
        }
        return true;
    }

    private bool TryReadOne(ReadOnlySpan<byte> body, List<Entry> entries, out uint next)
    {
        next = 0;
        var cursor = new ByteCursor(body);
        while (cursor.Left > 0)
        {
            if (cursor.Peek >= CodeViewLeaf.FirstPadding)
            {
                cursor.Skip(Math.Clamp(cursor.Peek & 0xF, 1, cursor.Left));
                continue;
            }
            if (entries.Count >= limits.MaxMembers || --_budget < 0)
                return false;
            switch (cursor.U16())
            {
                case CodeViewLeaf.Member:
                    cursor.Skip(sizeof(ushort));
                    var type = cursor.U32();
                    var offset = cursor.Numeric();
                    Add(entries, ref cursor, type, offset);
                    break;
                case CodeViewLeaf.Enumerate:
                    cursor.Skip(sizeof(ushort));
                    Add(entries, ref cursor, 0, cursor.Numeric());
                    break;
                case CodeViewLeaf.BaseClass or CodeViewLeaf.BaseInterface:
                    cursor.Skip(sizeof(ushort));
                    var ancestor = cursor.U32();
                    var place = cursor.Numeric();
                    if (!cursor.Failed)
                        entries.Add(new Entry("", ancestor, place, IsBase: true));
                    break;
                case CodeViewLeaf.VirtualBaseClass or CodeViewLeaf.IndirectVirtualBaseClass:
                    cursor.Skip(sizeof(ushort) + (2 * sizeof(uint)));
                    cursor.Numeric();
                    cursor.Numeric();
                    break;
                case CodeViewLeaf.StaticMember or CodeViewLeaf.NestedType or CodeViewLeaf.NestedTypeEx or CodeViewLeaf.Method:
                    cursor.Skip(sizeof(ushort) + sizeof(uint));
                    cursor.Text();
                    break;
                case CodeViewLeaf.OneMethod:
                    var kind = cursor.U16() >> MethodKindShift & MethodKindMask;
                    cursor.Skip(kind is IntroducingVirtual or PureIntroducingVirtual ? 2 * sizeof(uint) : sizeof(uint));
                    cursor.Text();
                    break;
                case CodeViewLeaf.VirtualTable:
                    cursor.Skip(sizeof(ushort) + sizeof(uint));
                    break;
                case CodeViewLeaf.VirtualTableAt:
                    cursor.Skip(sizeof(ushort) + (2 * sizeof(uint)));
                    break;
                case CodeViewLeaf.Index:
                    cursor.Skip(sizeof(ushort));
                    next = cursor.U32();
                    return !cursor.Failed;
                default:
                    return false;
            }
            if (cursor.Failed)
                return false;
        }
        return true;
    }

    private static void Add(List<Entry> entries, ref ByteCursor cursor, uint type, long value)
    {
        var name = cursor.Name();
        if (!cursor.Failed)
            entries.Add(new Entry(name, type, value, IsBase: false));
    }
}
