using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// What was deduced of a kernel, piece by piece, each with its evidence; and what was not, with the reason. One rule decides for all fields: exactly one place fits, or the kernel's own debugger
/// block names one of those that fit. Where two remain, or the block names another, the field is refused.
/// </summary>
internal sealed class DeductionLedger(VirtualAddress kernelBase)
{
    private readonly List<Fact> _accepted = [];
    private readonly List<Fact> _refused = [];
    private readonly Dictionary<KernelField, int> _fields = [];
    private readonly Dictionary<KernelField, IReadOnlyList<int>> _open = [];

    public ProfileTable Table { get; } = new();

    /// <summary>Accepted, in the order found: name, value, evidence.</summary>
    public IReadOnlyList<Fact> Accepted => _accepted;

    /// <summary>Refused or not found: name, no value, why.</summary>
    public IReadOnlyList<Fact> Refused => _refused;

    /// <summary>Every field accepted so far.</summary>
    public IReadOnlyDictionary<KernelField, int> Fields => _fields;

    public int? OffsetOf(KernelField field) => _fields.TryGetValue(field, out var offset) ? offset : null;

    public VirtualAddress? AddressOf(KernelGlobal global) => Table.RvaOf(global) is { } rva ? kernelBase + rva : null;

    public void Accept(KernelField field, int offset, string how)
    {
        _fields[field] = offset;
        Table.Set(field, new FieldPlace(offset, 0, 0));
        _accepted.Add(new Fact(KernelSchema.NameOf(field), $"+0x{offset:x}", how));
    }

    public void Accept(KernelStruct type, int size, string how)
    {
        Table.Set(type, size);
        _accepted.Add(new Fact($"sizeof {KernelSchema.Structs[(int)type]}", $"0x{size:x}", how));
    }

    public void Accept(KernelGlobal global, VirtualAddress address, string how)
    {
        Table.Set(global, (uint)(address - kernelBase));
        _accepted.Add(new Fact(KernelSchema.Globals[(int)global], address.ToString(), how));
    }

    /// <summary>Takes a field from a layout that was held against memory: no evidence of memory's own.</summary>
    /// <param name="field">Which.</param>
    /// <param name="offset">Where the layout has it.</param>
    /// <param name="how">Which layout, and why it is believed.</param>
    /// <param name="isListed">Whether it is named among what was accepted: what dumps and lists ask for is, the hundreds of others are counted.</param>
    public void Add(KernelField field, int offset, string how, bool isListed)
    {
        Table.Set(field, new FieldPlace(offset, 0, 0));
        if (!isListed)
            return;
        _fields[field] = offset;
        _accepted.Add(new Fact(KernelSchema.NameOf(field), $"+0x{offset:x}", how));
    }

    /// <summary>Takes a structure's size from such a layout.</summary>
    public void Add(KernelStruct type, int size) => Table.Set(type, size);

    /// <summary>Something about the whole that is no field.</summary>
    public void Note(string name, string value, string how) => _accepted.Add(new Fact(name, value, how));

    /// <summary>True where memory showed places for a field and this is none of them, or KDBG names another.</summary>
    public bool IsContradicted(KernelField field, int offset) => _open.TryGetValue(field, out var candidates) && candidates.Count > 0 && !candidates.Contains(offset);

    public void Refuse(string name, string why) => _refused.Add(new Fact(name, null, why));

    public void Refuse(KernelField field, string why) => _refused.Add(new Fact(KernelSchema.NameOf(field), null, why));

    public void Refuse(KernelGlobal global, string why) => _refused.Add(new Fact(KernelSchema.Globals[(int)global], null, why));

    /// <summary>Decides a field.</summary>
    /// <param name="field">Which.</param>
    /// <param name="candidates">Every place that fits.</param>
    /// <param name="debugger">Where KDBG says it is; null or zero where it does not say.</param>
    /// <param name="what">What fits there, in words, with how many objects show it.</param>
    /// <returns>The offset accepted, or null.</returns>
    public int? Choose(KernelField field, IReadOnlyList<int> candidates, int? debugger, string what)
    {
        if (debugger is { } told and not 0)
        {
            if (candidates.Contains(told))
                Accept(field, told, candidates.Count == 1 ? $"the only place with {what}; KDBG says so too" : $"KDBG says so, and there is {what} ({candidates.Count} places fit)");
            else
            {
                Refuse(field, $"KDBG says +0x{told:x}, but not there is {what}{(candidates.Count == 0 ? "" : $": {Show(candidates)}")}");
                // Neither what KDBG says nor what fits is to be believed: a layout would have to say a third place.
                _open[field] = [-1];
            }
        }
        else if (candidates.Count == 1)
        {
            Accept(field, candidates[0], $"the only place with {what}");
        }
        else
        {
            _open[field] = candidates;
            Refuse(field, candidates.Count == 0 ? $"no place with {what}" : $"{candidates.Count} places with {what}: {Show(candidates)}");
        }
        return OffsetOf(field);
    }

    private static string Show(IReadOnlyList<int> offsets) =>
        string.Join(", ", offsets.Take(6).Select(static offset => $"+0x{offset:x}")) + (offsets.Count > 6 ? ", …" : "");
}
