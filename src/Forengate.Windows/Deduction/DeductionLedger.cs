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
                Refuse(field, $"KDBG says +0x{told:x}, but not there is {what}{(candidates.Count == 0 ? "" : $": {Show(candidates)}")}");
        }
        else if (candidates.Count == 1)
        {
            Accept(field, candidates[0], $"the only place with {what}");
        }
        else
        {
            Refuse(field, candidates.Count == 0 ? $"no place with {what}" : $"{candidates.Count} places with {what}: {Show(candidates)}");
        }
        return OffsetOf(field);
    }

    private static string Show(IReadOnlyList<int> offsets) =>
        string.Join(", ", offsets.Take(6).Select(static offset => $"+0x{offset:x}")) + (offsets.Count > 6 ? ", …" : "");
}
