using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Looks for processes and drivers' list entries in all pages that a 32-bit kernel maps: with 32 bits of addresses these are few enough to look at each, so that every find has its address at once.
/// </summary>
internal sealed class X86Scan
{
    /// <summary>Pool blocks of 32-bit systems are aligned so.</summary>
    private const int Alignment = 8;

    /// <summary>Type in byte 0 (its bit 7 is a lock) and size in byte 2 of a dispatcher header; what is between and behind changes while a process lives.</summary>
    private const uint HeaderMask = 0x00FF_007F;

    /// <summary>The largest image believed of a driver, in bytes.</summary>
    private const uint MaxImage = 1 << 28;

    /// <summary>UNICODE_STRING: length, most, then the pointer; in bytes.</summary>
    private const int StringBuffer = 4, MaxString = 0x1000;

    /// <summary>How often progress is told, in pages.</summary>
    private const int ProgressPages = 1 << 12;

    private readonly X86System _system;
    private readonly CancellationToken _ct;
    private readonly byte[] _page = new byte[Page.Size];

    /// <summary>Pages looked at: a page that is mapped twice holds one object, not two.</summary>
    private readonly HashSet<ulong> _seen = [];

    private X86Scan(X86System system, CancellationToken ct) => (_system, _ct) = (system, ct);

    /// <summary>Addresses of what has System's dispatcher header and passes as a process, by the checks that the layout itself had to pass.</summary>
    public static IReadOnlyList<VirtualAddress> Processes(X86System system, IProgress<double>? progress, CancellationToken ct)
    {
        if (!system.Kernel.TryRead(system.SystemProcess, out uint header))
            return [];
        var scan = new X86Scan(system, ct);
        var layout = system.Layout;
        var proof = new X86LayoutProof(system.Kernel, system.Image, layout, layout.Build == system.Version.Build, system.Limits);
        var bytes = new byte[layout.ProcessLength];
        return scan.Run(
            system.Limits.Processes,
            (page, at) => (Dword(page, at) & HeaderMask) == (header & HeaderMask),
            at => system.Kernel.TryRead(at, bytes) && Dword(bytes, layout.ProcessId) != 0 && BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(layout.CreateTime)) != 0
                && Dword(bytes, layout.DirectoryTableBase) != 0 && KeepsItsThreads(bytes, at) && proof.Misfit(at, bytes) is null,
            0, progress);

        // An empty list of threads points to itself; else Misfit has looked at the first.
        bool KeepsItsThreads(byte[] process, VirtualAddress at) => X86Pointers.IsObject(Dword(process, layout.ThreadListHead)) && X86Pointers.IsObject(Dword(process, layout.ThreadListHead + sizeof(uint)))
            && (Dword(process, layout.ActiveThreads) != 0 || Dword(process, layout.ThreadListHead) == at.Value + (ulong)layout.ThreadListHead);
    }

    /// <summary>Addresses of what has the shape of an entry of the list of modules: an image's place and size with the entry point in it, a path and a name.</summary>
    public static IReadOnlyList<VirtualAddress> Drivers(X86System system, IProgress<double>? progress, CancellationToken ct)
    {
        var layout = system.Layout.Module;
        var bytes = new byte[layout.Length];
        return new X86Scan(system, ct).Run(
            system.Limits.Drivers,
            static (page, at) => X86Pointers.IsKernel(Dword(page, at)) && (Dword(page, at) & (uint)Page.OffsetMask) == 0,
            at => system.Kernel.TryRead(at, bytes) && IsEntry(bytes),
            layout.Base, progress);

        bool IsEntry(byte[] entry)
        {
            var (start, size, code) = (Dword(entry, layout.Base), Dword(entry, layout.ImageSize), Dword(entry, layout.EntryPoint));
            return size is not 0 and <= MaxImage && size % Page.Size == 0 && start + (ulong)size <= uint.MaxValue && (code == 0 || code - start < size)
                && X86Pointers.IsObject(Dword(entry, 0)) && X86Pointers.IsObject(Dword(entry, sizeof(uint)))
                && IsText(entry, layout.Path) && IsText(entry, layout.Name);
        }

        bool IsText(byte[] entry, int at)
        {
            var (length, most) = (BinaryPrimitives.ReadUInt16LittleEndian(entry.AsSpan(at)), BinaryPrimitives.ReadUInt16LittleEndian(entry.AsSpan(at + sizeof(ushort))));
            return length is not 0 and <= MaxString && length % sizeof(char) == 0 && length <= most && X86Pointers.IsKernel(Dword(entry, at + StringBuffer))
                && system.Kernel.TryRead(new VirtualAddress(Dword(entry, at + StringBuffer)), out ushort letter) && letter is >= ' ' and < 0x7F;
        }
    }

    /// <param name="limit">Most finds.</param>
    /// <param name="isLike">A quick look at a dword of a page.</param>
    /// <param name="passes">A thorough look at what begins at an address.</param>
    /// <param name="lead">How far before that dword the object begins.</param>
    /// <param name="progress">Told the share of memory done, 0 to 1.</param>
    private List<VirtualAddress> Run(int limit, Func<byte[], int, bool> isLike, Func<VirtualAddress, bool> passes, int lead, IProgress<double>? progress)
    {
        var found = new List<VirtualAddress>();
        var kernel = _system.Kernel;
        foreach (var mapping in kernel.Mappings(new VirtualAddress(X86Pointers.KernelStart), new VirtualAddress(uint.MaxValue), _system.Limits.PageTables))
        {
            for (var offset = 0UL; offset < mapping.Size; offset += Page.Size)
            {
                _ct.ThrowIfCancellationRequested();
                if (!_seen.Add((mapping.Physical + offset).Frame) || !kernel.Memory.TryRead(mapping.Physical + offset, _page))
                    continue;
                if (_seen.Count % ProgressPages == 0)
                    progress?.Report(Math.Min(1, (double)_seen.Count / Math.Max(1, kernel.Memory.End.Frame)));
                for (var at = lead % Alignment; at < Page.Size; at += Alignment)
                {
                    if (!isLike(_page, at))
                        continue;
                    var start = mapping.Address + offset + (ulong)at - (ulong)lead;
                    if (passes(start) && found.Count < limit)
                        found.Add(start);
                }
            }
        }
        progress?.Report(1);
        return found;
    }

    private static uint Dword(byte[] bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset));
}
