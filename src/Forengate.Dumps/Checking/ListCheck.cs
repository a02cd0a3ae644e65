using System.Runtime.InteropServices;
using System.Text;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>The lists a debugger walks first: modules and processes.</summary>
internal static class ListCheck
{
    private const int MaxModules = 16_384, MaxProcesses = 262_144;

    // KLDR_DATA_TABLE_ENTRY up to BaseDllName (ntldr.h of the WDK): the same in every x64 version; debuggers have it built in.
    private const int DllBase = 0x30, SizeOfImage = 0x40, BaseDllName = 0x58, EntrySize = 0x68;

    public static int? Modules(CrashDumpHeader64 header, DebuggerEye eye, CheckFindings findings)
    {
        var head = new VirtualAddress(header.PsLoadedModuleList);
        var entry = new byte[EntrySize];
        var unnamed = 0;
        VirtualAddress? first = null;
        var count = Walk(eye.Space, head, MaxModules, "PsLoadedModuleList", CheckCode.Modules, findings, at =>
        {
            if (!eye.Space.TryRead(at, entry))
                return;
            first ??= new VirtualAddress(BitConverter.ToUInt64(entry, DllBase));
            if (BitConverter.ToUInt64(entry, DllBase) == 0 || BitConverter.ToUInt32(entry, SizeOfImage) == 0 || !HasName(eye.Space, entry))
                unnamed++;
        });
        if (count is null)
            return null;
        if (count == 0)
            findings.Error(CheckCode.Modules, $"PsLoadedModuleList at {head} is empty: a debugger knows no module, not even the kernel");
        if (unnamed > 0)
            findings.Warning(CheckCode.Modules, $"{unnamed} of {count} modules have no base, size or readable name");
        if (first is { } kernel && eye.Kdbg?.Pointer(DebuggerDataField.KernBase) is { } expected && kernel != expected)
            findings.Error(CheckCode.Modules, $"the first module is at {kernel}, the kernel at {expected}: a debugger takes the first for the kernel");
        return count;
    }

    public static int? Processes(CrashDumpHeader64 header, DebuggerEye eye, CheckFindings findings)
    {
        var count = Walk(eye.Space, new VirtualAddress(header.PsActiveProcessHead), MaxProcesses, "PsActiveProcessHead", CheckCode.Processes, findings, _ => { });
        if (count == 0)
            findings.Error(CheckCode.Processes, $"PsActiveProcessHead at 0x{header.PsActiveProcessHead:x} is empty: a debugger shows no process");
        return count;
    }

    private static bool HasName(AddressSpace space, byte[] entry)
    {
        var length = BitConverter.ToUInt16(entry, BaseDllName);
        Span<byte> character = stackalloc byte[2];
        return length is > 1 and <= 512 && space.TryRead(new VirtualAddress(BitConverter.ToUInt64(entry, BaseDllName + 8)), character) &&
            Rune.IsValid(BitConverter.ToUInt16(character));
    }

    /// <returns>How many entries; null where not even the head can be read.</returns>
    private static int? Walk(AddressSpace space, VirtualAddress head, int limit, string name, string code, CheckFindings findings, Action<VirtualAddress> visit)
    {
        if (!space.TryReadPointer(head, out var at))
        {
            findings.Error(code, $"{name} at {head} cannot be read");
            return null;
        }
        var (count, before) = (0, head);
        Span<ulong> links = stackalloc ulong[2];
        while (at != head)
        {
            if (!space.TryRead(at, MemoryMarshal.AsBytes(links)))
            {
                findings.Error(code, $"{name}: entry {count + 1} at {at} cannot be read; a debugger's list ends there");
                return count;
            }
            if (links[1] != before.Value)
                findings.Warning(code, $"{name}: entry {count + 1} at {at} does not point back to {before}");
            visit(at);
            if (++count >= limit)
            {
                findings.Error(code, $"{name} does not close within {limit} entries");
                return count;
            }
            (before, at) = (at, new VirtualAddress(links[0]));
        }
        return count;
    }
}
