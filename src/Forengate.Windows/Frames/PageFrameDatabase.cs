using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Windows' own record of what each page of memory is used for: an array of <c>_MMPFN</c> by page frame number (Windows Internals, 7th ed., ch. 5, "Page frame number database").
/// Guest memory says what is in it: an entry is believed only as far as it can be read, and nothing is followed.
/// </summary>
public sealed class PageFrameDatabase
{
    private const int LocationBits = PageFrameDeduction.LocationBits;

    /// <summary>Larger entries than this are none: 0x30 bytes in all known x64 builds.</summary>
    private const int MaxEntrySize = 0x100;

    /// <summary>Entries read at a time.</summary>
    private const int Batch = 4096;

    private readonly AddressSpace _space;
    private readonly int _locationByte;
    private readonly int _locationShift;

    private PageFrameDatabase(AddressSpace space, VirtualAddress address, PageFrameEntry entry)
    {
        (_space, Address, EntrySize, Evidence) = (space, address, entry.Size, entry.Evidence);
        _locationByte = entry.Location.Offset + (entry.Location.BitPosition / 8);
        _locationShift = entry.Location.BitPosition % 8;
    }

    /// <summary>Where the entry of page 0 lies, or would lie.</summary>
    public VirtualAddress Address { get; }

    /// <summary>Size of an entry in bytes.</summary>
    public int EntrySize { get; }

    /// <summary>How the layout of an entry was found out of memory, in one line; null where the kernel's profile says it.</summary>
    public string? Evidence { get; }

    /// <summary>The database of a system; null, with the reason in one line, where its place or its layout is not known or it is none.</summary>
    public static PageFrameDatabase? Of(WindowsSystem system, out string? why, CancellationToken ct = default)
    {
        var variable = system.Kdbg is { MmPfnDatabase: { IsNull: false } named } ? named : system.AddressOf(KernelGlobal.MmPfnDatabase);
        if (variable is not { } at || !system.Kernel.TryReadPointer(at, out var address) || !address.IsKernel)
        {
            why = "MmPfnDatabase was not found: neither KDBG nor the kernel's symbols lead to it";
            return null;
        }
        if (EntryOf(system, address, out why, ct) is not { } entry)
            return null;
        var database = new PageFrameDatabase(system.Kernel, address, entry);
        Span<PageLocation> table = stackalloc PageLocation[1];
        database.Read(system.Kernel.DirectoryTableBase.Frame, table);
        // The one page that surely is in use.
        why = table[0] == PageLocation.Active
            ? null
            : $"the page frame database at {address} is not to be believed: it has the System process's own page table as {table[0].ToString().ToLowerInvariant()}";
        return why is null ? database : null;
    }

    /// <summary>A deduced profile has no bits of a field, and a layout by version none that is right everywhere: memory is asked then.</summary>
    private static PageFrameEntry? EntryOf(WindowsSystem system, VirtualAddress database, out string? why, CancellationToken ct)
    {
        why = null;
        if (system.Profile.SizeOf(KernelStruct.MMPFN) is not { } size || system.Profile.Field(KernelField.MMPFN_u3_e1_PageLocation) is not { BitLength: LocationBits } location)
        {
            if (PageFrameDeduction.Run(system.Kernel, database, out var unfound, ct) is { } deduced)
                return deduced;
            why = $"the profile of this kernel ({system.Profile}) does not say how a page's entry (_MMPFN) is laid out, and memory does not show it: {unfound}";
            return null;
        }
        if (size <= MaxEntrySize && location.Offset + ((location.BitPosition + LocationBits + 7) / 8) <= size && (location.BitPosition % 8) + LocationBits <= 8)
            return new PageFrameEntry(size, location, null);
        why = $"the profile of this kernel ({system.Profile}) lays a page's entry (_MMPFN) out as none can be";
        return null;
    }

    /// <summary>Reads where pages are, in one pass over the entries. What can't be read, or holds nothing but zeros (a hole in memory, not an entry), is <see cref="PageLocation.Unknown"/>.</summary>
    /// <param name="firstFrame">Page frame number of the first.</param>
    /// <param name="locations">One a page.</param>
    public void Read(ulong firstFrame, Span<PageLocation> locations)
    {
        locations.Fill(PageLocation.Unknown);
        var buffer = new byte[Math.Min(locations.Length, Batch) * EntrySize];
        for (var done = 0; done < locations.Length;)
        {
            var part = locations.Slice(done, Math.Min(Batch, locations.Length - done));
            var entries = buffer.AsSpan(0, part.Length * EntrySize);
            // The first frames of any guest are small numbers; one that overflows leads to no canonical address, so that nothing is read.
            var address = Address + ((firstFrame + (ulong)done) * (ulong)EntrySize);
            var got = address < Address ? 0 : _space.Read(address, entries);
            for (var i = 0; (i + 1) * EntrySize <= got; i++)
                part[i] = LocationIn(entries.Slice(i * EntrySize, EntrySize));
            if (got == entries.Length)
            {
                done += part.Length;
                continue;
            }
            // On at the first entry that begins behind the page that is missing: those that touch it stay unknown.
            var next = ((address + (ulong)got).PageStart + Page.Size) - address;
            done += (int)Math.Min((ulong)part.Length, (next + (ulong)EntrySize - 1) / (ulong)EntrySize);
        }
    }

    private PageLocation LocationIn(ReadOnlySpan<byte> entry) =>
        entry.ContainsAnyExcept((byte)0) ? (PageLocation)((entry[_locationByte] >> _locationShift) & ((1 << LocationBits) - 1)) : PageLocation.Unknown;
}
