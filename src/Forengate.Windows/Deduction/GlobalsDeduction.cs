using System.Buffers.Binary;
using System.Numerics;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Finds a kernel's globals without symbols: by the image's own exports, by the version block, which carries the kernel's base, and by KDBG, decoded with the base as known word. Each source is held
/// against the others before it is believed.
/// </summary>
internal sealed class GlobalsDeduction(AddressSpace space, KernelImage image, KernelData data, DeductionLedger ledger, WindowsLimits limits, CancellationToken ct)
{
    /// <summary>Where <c>DBGKD_GET_VERSION64</c> has its KernBase, PsLoadedModuleList and DebuggerDataList (windbgkd.h).</summary>
    private const int VersionKernBase = 0x10;
    private const int VersionModules = 0x18;
    private const int VersionDebuggerList = 0x20;

    /// <summary>Versions of the kernel's own protocol begin with 0xF (free) or 0xC (checked); older blocks with the system's major version.</summary>
    private const int MaxKdMajor = 0xF;

    /// <summary>A secret of Windows' has bits all over: fewer distinct bytes are a counter, a flag or a pointer. Of random values one in thousands has five, one in a hundred million three.</summary>
    private const int SecretDistinctBytes = 4;

    /// <summary>The most qwords tried as each of the two secrets.</summary>
    private const int MaxSecrets = 1 << 20;

    /// <summary>What KDBG holds addresses of, and the global that is.</summary>
    private static readonly (DebuggerDataField Field, KernelGlobal Global)[] s_debugger =
    [
        (DebuggerDataField.PsLoadedModuleList, KernelGlobal.PsLoadedModuleList), (DebuggerDataField.PsActiveProcessHead, KernelGlobal.PsActiveProcessHead),
        (DebuggerDataField.PspCidTable, KernelGlobal.PspCidTable), (DebuggerDataField.KiBugcheckData, KernelGlobal.KiBugCheckData),
        (DebuggerDataField.KiProcessorBlock, KernelGlobal.KiProcessorBlock), (DebuggerDataField.MmPhysicalMemoryBlock, KernelGlobal.MmPhysicalMemoryBlock),
        (DebuggerDataField.MmPfnDatabase, KernelGlobal.MmPfnDatabase), (DebuggerDataField.NtBuildLab, KernelGlobal.NtBuildLab),
        (DebuggerDataField.MmSystemRangeStart, KernelGlobal.MmSystemRangeStart), (DebuggerDataField.MmUnloadedDrivers, KernelGlobal.MmUnloadedDrivers),
        (DebuggerDataField.MmLastUnloadedDriver, KernelGlobal.MmLastUnloadedDriver), (DebuggerDataField.ObpRootDirectoryObject, KernelGlobal.ObpRootDirectoryObject),
        (DebuggerDataField.ObpTypeObjectType, KernelGlobal.ObpTypeObjectType), (DebuggerDataField.KeTimeIncrement, KernelGlobal.KeTimeIncrement),
    ];

    /// <summary>KDBG, once found and believed.</summary>
    public DebuggerData? Debugger { get; private set; }

    public void Run()
    {
        TakeExports();
        var dataList = TakeVersionBlock();
        FindDebuggerData(dataList);
        if (Debugger is { } debugger)
            TakeDebuggerData(debugger);
        TakeBuildLab();
    }

    private void TakeExports()
    {
        if (data.Exports is not { } exports)
            return;
        var wanted = new Dictionary<string, KernelGlobal>(KernelSchema.Globals.Length);
        for (var i = 0; i < KernelSchema.Globals.Length; i++)
            wanted.TryAdd(KernelSchema.Globals[i], (KernelGlobal)i);
        for (var i = 0; i < exports.Count; i++)
        {
            ct.ThrowIfCancellationRequested();
            if (exports.At(i) is { IsForwarder: false } export && wanted.Remove(export.Name, out var global))
                ledger.Accept(global, image.Base + export.Rva, "the kernel image exports it");
        }
    }

    /// <summary>The version block is never encoded: base, then the list of modules, then the list the debugger's blocks are in.</summary>
    private VirtualAddress? TakeVersionBlock()
    {
        var found = new List<(uint Rva, VirtualAddress Modules, VirtualAddress List)>();
        Span<byte> bytes = stackalloc byte[VersionBlock.Length];
        foreach (var rva in data.Find(image.Base.Value))
        {
            if (rva < VersionKernBase || !space.TryRead(image.Base + (rva - VersionKernBase), bytes))
                continue;
            var block = VersionBlock.From(bytes);
            var modules = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes[VersionModules..]));
            var list = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes[VersionDebuggerList..]));
            if (block is { MachineType: LoadedImage.Amd64, MinorVersion: not 0 } && (block.MajorVersion & 0xFF) <= MaxKdMajor && IsGlobal(modules) && IsGlobal(list)
                && (ledger.AddressOf(KernelGlobal.PsLoadedModuleList) is not { } exported || exported == modules))
                found.Add((rva - VersionKernBase, modules, list));
        }
        if (found.Count != 1)
        {
            ledger.Refuse(KernelGlobal.KdVersionBlock, $"{found.Count} places in the kernel's data look like it (machine, kernel base, lists in the image)");
            return null;
        }
        var (at, modulesAt, listAt) = found[0];
        ledger.Accept(KernelGlobal.KdVersionBlock, image.Base + at, "the only block in the kernel's data with machine, build, the kernel's base and two lists in the image");
        if (ledger.AddressOf(KernelGlobal.PsLoadedModuleList) is null && IsModuleList(modulesAt))
            ledger.Accept(KernelGlobal.PsLoadedModuleList, modulesAt, "KdVersionBlock names it, and its first entry is the kernel");
        return listAt;
    }

    private void FindDebuggerData(VirtualAddress? list)
    {
        var expected = new DebuggerDataExpectation(image.Base.Value, ledger.AddressOf(KernelGlobal.PsLoadedModuleList)?.Value, null);
        if (list is { } head && space.TryReadPointer(head, out var first) && IsGlobal(first) && Decode(first, expected) is { } linked)
        {
            Believe(first, linked, "the list of the debugger's blocks leads to it, which KdVersionBlock names");
            return;
        }

        // No list: every place in the data is tried. Two encoded qwords of one block differ by as much as their plain forms do, turned and reversed.
        var candidates = new List<(VirtualAddress At, DebuggerDataDecoder.Result Block)>();
        var difference = BinaryPrimitives.ReverseEndianness((uint)image.Base.Value ^ DebuggerData.Tag);
        foreach (var (rva, bytes) in data.Pages)
        {
            ct.ThrowIfCancellationRequested();
            for (var at = 0; at + (int)DebuggerDataField.KernBase + sizeof(ulong) <= bytes.Length; at += sizeof(ulong))
            {
                var tag = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at + (int)DebuggerDataField.OwnerTag));
                var mixed = tag ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at + (int)DebuggerDataField.KernBase));
                if (mixed != 0 && ((uint)tag == DebuggerData.Tag || IsRotated(mixed, difference)) && Decode(image.Base + rva + (ulong)at, expected) is { } block)
                    candidates.Add((image.Base + rva + (ulong)at, block));
            }
        }
        if (candidates.Count == 1)
            Believe(candidates[0].At, candidates[0].Block, "the only place in the kernel's data that decodes to it");
        else
            ledger.Refuse(KernelGlobal.KdDebuggerDataBlock, $"{candidates.Count} places in the kernel's data decode to it with the kernel base as known word");
    }

    /// <summary>Whether some rotation brings these bytes to the upper end, where reversing puts the low dword of the plain words.</summary>
    private static bool IsRotated(ulong mixed, uint upper)
    {
        for (var rotation = 0; rotation < DebuggerDataEncoding.Rotations; rotation++)
        {
            if ((uint)(BitOperations.RotateLeft(mixed, rotation) >> 32) == upper)
                return true;
        }
        return false;
    }

    private DebuggerDataDecoder.Result? Decode(VirtualAddress at, DebuggerDataExpectation expected)
    {
        Span<byte> raw = stackalloc byte[DebuggerData.MaxSize];
        return DebuggerDataDecoder.Decode(raw[..space.Read(at, raw)], expected, out _);
    }

    /// <summary>A block is believed whose words agree with what is known without it, and whose process list closes.</summary>
    private void Believe(VirtualAddress at, DebuggerDataDecoder.Result block, string how)
    {
        var debugger = new DebuggerData(at, block.Plain, block.Key is not null, null, null, how);
        var (agree, disagree) = (0, 0);
        foreach (var (field, global) in s_debugger)
        {
            if (ledger.AddressOf(global) is not { } known || debugger.Qword(field) == 0)
                continue;
            if (debugger.Qword(field) == known.Value)
                agree++;
            else
                disagree++;
        }
        if (disagree > 0)
        {
            ledger.Refuse(KernelGlobal.KdDebuggerDataBlock, $"the block at {at} names {disagree} globals elsewhere than the image's exports do");
            return;
        }
        Debugger = debugger;
        ledger.Accept(
            KernelGlobal.KdDebuggerDataBlock, at,
            $"{how}; {(block.Key is null ? "plain" : $"decoded with the kernel base as known word, rotation {block.Key.Value.Rotation}")}, tag, size and {agree} globals known otherwise agree");
        if (block.Key is { } key)
            FindKeys(key);
    }

    private void TakeDebuggerData(DebuggerData debugger)
    {
        foreach (var (field, global) in s_debugger)
        {
            var address = new VirtualAddress(debugger.Qword(field));
            if (ledger.AddressOf(global) is not null)
                continue;
            if (!IsGlobal(address))
                ledger.Refuse(global, $"KDBG's {field} is {address}, outside of the kernel image");
            else if (global == KernelGlobal.PsLoadedModuleList && !IsModuleList(address))
                ledger.Refuse(global, $"KDBG says {address}, but the first entry there is not the kernel");
            else if (global is KernelGlobal.MmPhysicalMemoryBlock && PhysicalMemoryBlockReader.Read(space, address, PublicLayouts.MemoryBlock, limits, out var reason) is null)
                ledger.Refuse(global, $"KDBG says {address}, but {reason}");
            else
                ledger.Accept(global, address, $"KDBG's {field}");
        }
    }

    /// <summary>
    /// The keys behind a decoded block. Its constant ties KiWaitNever, KiWaitAlways and the address of KdpDataBlockEncoded together: of all pairs of qwords that could be the two, only the true one gives
    /// an address in the image. A wrong pair does so once in 2^39.
    /// </summary>
    private void FindKeys(DebuggerDataEncoding.Key key)
    {
        var secrets = new List<(uint Rva, ulong Value)>();
        foreach (var (rva, bytes) in data.Pages)
        {
            for (var at = 0; at < bytes.Length && secrets.Count < MaxSecrets; at += sizeof(ulong))
            {
                if (BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at)) is var value && value != 0 && IsSecret(value))
                    secrets.Add((rva + (uint)at, value));
            }
        }

        // flag = bswap(C ^ always) ^ rol(never, r): all but the bits in which addresses of the image differ must be equal.
        var low = BitOperations.Log2(image.Base.Value ^ (image.End.Value - 1)) + 1;
        var byUpper = secrets.ToLookup(secret => (BinaryPrimitives.ReverseEndianness(secret.Value ^ key.Constant) ^ image.Base.Value) >> low);
        var found = new List<(uint Never, uint Always, VirtualAddress Flag)>();
        foreach (var never in secrets)
        {
            ct.ThrowIfCancellationRequested();
            if ((never.Value & (DebuggerDataEncoding.Rotations - 1)) != (uint)key.Rotation)
                continue;
            var turned = BitOperations.RotateLeft(never.Value, key.Rotation);
            foreach (var always in byUpper[turned >> low].Take(4))
            {
                var flag = new VirtualAddress(BinaryPrimitives.ReverseEndianness(always.Value ^ key.Constant) ^ turned);
                if (always.Rva != never.Rva && image.Contains(flag) && space.TryRead(flag, out byte set) && set == 1)
                    found.Add((never.Rva, always.Rva, flag));
            }
        }
        if (found.Count != 1)
        {
            ledger.Refuse(KernelGlobal.KdpDataBlockEncoded, $"{found.Count} pairs of qwords in the kernel's data give the block's key with a flag in the image that is set");
            return;
        }
        const string how = "the only pair of qwords in the kernel's data that gives the block's key with a flag in the image that is set";
        ledger.Accept(KernelGlobal.KiWaitNever, image.Base + found[0].Never, how);
        ledger.Accept(KernelGlobal.KiWaitAlways, image.Base + found[0].Always, how);
        ledger.Accept(KernelGlobal.KdpDataBlockEncoded, found[0].Flag, how);
    }

    private void TakeBuildLab()
    {
        if (ledger.AddressOf(KernelGlobal.NtBuildNumber) is not { } number || !space.TryRead(number, out uint build))
            return;
        var start = System.Text.Encoding.ASCII.GetBytes($"{build & 0xFFFF}.");
        var found = new List<VirtualAddress>();
        Span<byte> text = stackalloc byte[64];
        foreach (var rva in data.FindText(start, ct))
        {
            var line = text[..space.Read(image.Base + rva, text)];
            if (line.IndexOf(".amd64"u8) is > 0 and var platform && line[..platform].IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) < 0 && platform < 16)
                found.Add(image.Base + rva);
        }
        if (found.Count == 1)
            ledger.Accept(KernelGlobal.NtBuildLabEx, found[0], "the only text in the kernel image that begins with its build and names its platform");
        else
            ledger.Refuse(KernelGlobal.NtBuildLabEx, $"{found.Count} texts in the kernel image begin with its build and name its platform");
    }

    private bool IsModuleList(VirtualAddress head) =>
        LinkedListWalk.TryReadLinks(space, head, out var links) && LinkedListWalk.TryReadLinks(space, links.Flink, out var first) && first.Blink == head
        && space.TryReadPointer(links.Flink + PublicLayouts.DllBase, out var start) && start == image.Base;

    private bool IsGlobal(VirtualAddress address) => image.Contains(address) && address.Value % 4 == 0;

    private static bool IsSecret(ulong value)
    {
        var distinct = 0;
        for (var i = 0; i < sizeof(ulong); i++)
        {
            var repeated = false;
            for (var j = 0; j < i; j++)
                repeated |= (byte)(value >> (8 * i)) == (byte)(value >> (8 * j));
            if (!repeated)
                distinct++;
        }
        return distinct >= SecretDistinctBytes;
    }
}
