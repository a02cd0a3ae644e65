using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Where a kernel keeps what its KDBG takes: virtual addresses, null where the profile lacks the global.</summary>
internal readonly record struct DebuggerDataGlobals(
    VirtualAddress? Block, VirtualAddress? EncodedFlag, VirtualAddress? WaitNever, VirtualAddress? WaitAlways,
    VirtualAddress? PsLoadedModuleList, VirtualAddress? PsActiveProcessHead);

/// <summary>Reads, decodes and confirms a kernel's KDBG.</summary>
internal static class DebuggerDataReader
{
    public static DebuggerData? Read(AddressSpace kernel, VirtualAddress kernelBase, DebuggerDataGlobals globals, List<Fact> facts)
    {
        if (globals.Block is not { } address)
        {
            facts.Add(new Fact("KDBG", null, "the profile does not know KdDebuggerDataBlock"));
            return null;
        }

        byte? flag = globals.EncodedFlag is { } flagAddress && kernel.TryRead(flagAddress, out byte read) ? read : null;
        Span<byte> raw = stackalloc byte[DebuggerData.MaxSize];
        raw = raw[..kernel.Read(address, raw)];
        var decoded = DebuggerDataDecoder.Decode(
            raw, new DebuggerDataExpectation(kernelBase.Value, globals.PsLoadedModuleList?.Value, globals.PsActiveProcessHead?.Value), out var tried);
        if (decoded is null)
        {
            facts.Add(new Fact("KDBG", null, $"at {address} by the profile's KdDebuggerDataBlock: {tried}; KdpDataBlockEncoded is {Show(flag)}"));
            return null;
        }

        var how = decoded.Key is { } key
            ? $"decoded without keys: kernel base as known word, rotation {key.Rotation}, tag, size and list heads fit; {Confirm(kernel, globals, key)}"
            : "plain: tag, size and list heads fit";
        if (flag is { } value && (value != 0) != (decoded.Key is not null))
            how += $"; KdpDataBlockEncoded is {value} and disagrees";
        facts.Add(new Fact("KDBG", address.ToString(), "the profile's KdDebuggerDataBlock"));
        facts.Add(new Fact("KDBG encoded", decoded.Key is null ? "no" : "yes", how));
        return new DebuggerData(address, decoded.Plain, decoded.Key is not null, globals.EncodedFlag, flag, how);
    }

    private static string Confirm(AddressSpace kernel, DebuggerDataGlobals globals, DebuggerDataEncoding.Key key)
    {
        if (globals is not { WaitNever: { } neverAt, WaitAlways: { } alwaysAt, EncodedFlag: { } flagAt })
            return "the profile lacks the keys that would confirm it";
        if (!kernel.TryRead(neverAt, out ulong never) || !kernel.TryRead(alwaysAt, out ulong always))
            return "the keys that would confirm it are not in memory";
        return DebuggerDataEncoding.FromSecrets(never, always, flagAt.Value) == key
            ? "confirmed by KiWaitNever, KiWaitAlways and the address of KdpDataBlockEncoded"
            : "KiWaitNever, KiWaitAlways and the address of KdpDataBlockEncoded give another key";
    }

    private static string Show(byte? flag) => flag is { } value ? value.ToString() : "not readable";
}
