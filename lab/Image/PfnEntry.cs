using System.Buffers.Binary;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>Writes _MMPFNs: fields are looked up once, because there is an entry for each page.</summary>
internal sealed class PfnEntry(KernelTables tables)
{
    private const int Cached = 1; // MI_PFN_CACHE_ATTRIBUTE: MiCached
    private const int NormalPriority = 5;
    private readonly KernelField _flink = tables.Field("_MMPFN", "u1.Flink");
    private readonly KernelField _blink = tables.Field("_MMPFN", "u2.Blink");
    private readonly KernelField _shareCount = tables.Field("_MMPFN", "u2.ShareCount");
    private readonly KernelField _pteAddress = tables.Field("_MMPFN", "PteAddress");
    private readonly KernelField _originalPte = tables.Field("_MMPFN", "OriginalPte");
    private readonly KernelField _referenceCount = tables.Field("_MMPFN", "u3.ReferenceCount");
    private readonly KernelField _location = tables.Field("_MMPFN", "u3.e1.PageLocation");
    private readonly KernelField _modified = tables.Field("_MMPFN", "u3.e1.Modified");
    private readonly KernelField _cache = tables.Field("_MMPFN", "u3.e1.CacheAttribute");
    private readonly KernelField _parity = tables.Field("_MMPFN", tables.HasField("_MMPFN", "u3.e3.ParityError") ? "u3.e3.ParityError" : "u3.e1.ParityError");
    private readonly KernelField _priority = tables.Field("_MMPFN", tables.HasField("_MMPFN", "u3.e3.Priority") ? "u3.e3.Priority" : "u3.e1.Priority");
    private readonly KernelField _frame = tables.Field("_MMPFN", "u4.PteFrame");
    private readonly KernelField _prototype = tables.Field("_MMPFN", "u4.PrototypePte");
    /// <summary>From 8.1 on.</summary>
    private readonly KernelField? _exists = tables.TryField("_MMPFN", "u4.PfnExists", out var exists) ? exists : null;

    /// <summary>What is the same in all entries of a kind.</summary>
    private readonly byte[]?[] _plain = new byte[8][];

    public int Size { get; } = tables.SizeOf("_MMPFN");

    /// <summary>A page in use.</summary>
    public void Active(Span<byte> at, int shares, bool modified)
    {
        Plain(PageState.Active).CopyTo(at);
        Set(at, _shareCount, (ulong)Math.Max(1, shares));
        if (modified)
            Set(at, _modified, 1);
    }

    /// <summary>A page on a list: its neighbours there, all ones for none.</summary>
    public void Listed(Span<byte> at, byte location, ulong flink, ulong blink)
    {
        Plain(location).CopyTo(at);
        Set(at, _flink, flink);
        Set(at, _blink, blink);
    }

    /// <summary>Whose page it is: address of the entry that maps it or did, number of the page that entry lies in, and what the entry is to hold when the page goes.</summary>
    public void Belongs(Span<byte> at, ulong pteAddress, ulong frame, ulong originalPte, bool prototype)
    {
        Set(at, _pteAddress, pteAddress);
        Set(at, _frame, frame);
        Set(at, _originalPte, originalPte);
        if (prototype)
            Set(at, _prototype, 1);
    }

    private byte[] Plain(byte location)
    {
        if (_plain[location] is { } made)
            return made;
        var at = new byte[Size];
        Set(at, _location, location);
        Set(at, _cache, Cached);
        Set(at, _priority, NormalPriority);
        if (_exists is not null)
            Set(at, _exists, 1);
        Set(at, _modified, location == PageState.Modified ? 1UL : 0);
        Set(at, _parity, location == PageState.Bad ? 1UL : 0);
        // A page in transition is in no list, and somebody (a read, a write to disk) still holds it.
        Set(at, _referenceCount, location is PageState.Active or PageState.Transition ? 1UL : 0);
        return _plain[location] = at;
    }

    private static void Set(Span<byte> entry, KernelField field, ulong value)
    {
        var at = entry.Slice(field.Offset, field.Size);
        var bits = field.BitLength == 0 ? field.Size * 8 : field.BitLength;
        var mask = (bits == 64 ? ulong.MaxValue : (1UL << bits) - 1) << field.BitPosition;
        if (at.Length == 8)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(at, BinaryPrimitives.ReadUInt64LittleEndian(at) & ~mask | value << field.BitPosition & mask);
            return;
        }
        for (var i = 0; i < at.Length; i++)
            at[i] = (byte)(at[i] & ~(mask >> i * 8) | (value << field.BitPosition & mask) >> i * 8);
    }
}
