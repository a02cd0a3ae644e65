using System.Buffers.Binary;
using System.Globalization;
using Forengate.Memory;
using Forengate.Symbols;
using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Windows;

/// <summary>Makes a <see cref="SmallDump"/> of a small dump's structures, by the offsets in its own KDBG and, where the build's layout is known, by that.</summary>
public static class SmallDumpReader
{
    private const uint MachineAmd64 = 0x8664, MachineArm64 = 0xAA64;

    /// <summary>Sp and Pc in the ARM64 CONTEXT (<c>winnt.h</c>: ContextFlags and Cpsr, 31 registers, then these).</summary>
    private const int Arm64Sp = 0x100, Arm64Pc = 0x108;

    /// <param name="dump">Open; not kept.</param>
    /// <param name="profiles">Layouts of known kernels: a small dump does not name its kernel's symbols, so one of the same build is taken.</param>
    public static SmallDump Read(TriageDump dump, ProfileStore profiles)
    {
        var header = dump.Header;
        GuestArchitecture? architecture = header.MachineImageType switch
        {
            MachineAmd64 => GuestArchitecture.X64,
            MachineArm64 => GuestArchitecture.Arm64,
            _ => null,
        };
        var kdbg = dump.KdbgBytes;
        if (kdbg.Length < DebuggerData.MinSize || BinaryPrimitives.ReadUInt32LittleEndian(kdbg[(int)K.OwnerTag..]) != DebuggerData.Tag)
            kdbg = default;
        var context = header.ContextRecord;
        var special = Slice(dump.PrcbBytes, (Word(kdbg, K.OffsetPrcbProcStateSpecialReg), SpecialRegistersLayout.MinSize));
        var cpu = architecture == GuestArchitecture.X64 ? SavedRegisters.Read(Number(dump, kdbg) ?? 0, "the dump's header and KPRCB", context, special) : null;
        var (pc, sp) = architecture switch
        {
            GuestArchitecture.X64 => (cpu?.Rip, cpu?.Rsp),
            GuestArchitecture.Arm64 => (BinaryPrimitives.ReadUInt64LittleEndian(context[Arm64Pc..]), (ulong?)BinaryPrimitives.ReadUInt64LittleEndian(context[Arm64Sp..])),
            _ => (null, null),
        };
        VirtualAddress? thread = Qword(dump.PrcbBytes, Word(kdbg, K.OffsetPrcbCurrentThread)) is { } current && new VirtualAddress(current).IsKernel ? new VirtualAddress(current) : null;
        var process = SmallDumpProcess.Read(dump, kdbg, architecture, profiles);
        var small = new SmallDump
        {
            Architecture = architecture,
            Build = header.MinorVersion,
            BugCheck = header.BugCheckCode is 0 or CrashDumpHeader64.Filler
                ? null : new BugCheckData(header.BugCheckCode, header.BugCheckParameter1, header.BugCheckParameter2, header.BugCheckParameter3, header.BugCheckParameter4),
            Processor = Number(dump, kdbg),
            ProcessorCount = header.NumberProcessors,
            Cpu = cpu,
            InstructionPointer = pc is { } at ? new VirtualAddress(at) : null,
            StackPointer = sp is { } stack ? new VirtualAddress(stack) : null,
            Thread = thread,
            ThreadId = process.ThreadId,
            Process = process.Process,
            Drivers = [.. dump.Drivers.Select(DriverOf)],
            UnloadedDrivers = dump.UnloadedDrivers,
            Facts = [],
            ProcessWarnings = process.Warnings,
            Damage = [.. dump.Problems.Select(problem => problem.Text)],
        };
        return small with { Facts = [.. FactsOf(small, dump, header, process.How)] };
    }

    internal static ushort? Word(ReadOnlySpan<byte> kdbg, K field) =>
        (int)field + sizeof(ushort) <= kdbg.Length && BinaryPrimitives.ReadUInt16LittleEndian(kdbg[(int)field..]) is not 0 and var value ? value : null;

    internal static ulong? Qword(ReadOnlySpan<byte> bytes, int? offset) =>
        offset is { } at && at + sizeof(ulong) <= bytes.Length ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]) : null;

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> bytes, (int? Offset, int Length) part) =>
        part.Offset is { } at && at + part.Length <= bytes.Length ? bytes.Slice(at, part.Length) : default;

    private static int? Number(TriageDump dump, ReadOnlySpan<byte> kdbg) =>
        Slice(dump.PrcbBytes, (Word(kdbg, K.OffsetPrcbNumber), sizeof(uint))) is { Length: > 0 } number ? BinaryPrimitives.ReadInt32LittleEndian(number) : null;

    private static Driver DriverOf(TriageDriver driver) => new()
    {
        Name = driver.Path[(driver.Path.LastIndexOf('\\') + 1)..],
        Path = driver.Path,
        Base = driver.Base,
        Size = driver.Size,
        // Where its entry lay is not in the dump.
        Address = default,
        FoundBy = FoundBy.List,
        IsListed = true,
        TimeDateStamp = driver.TimeDateStamp == 0 ? null : driver.TimeDateStamp,
    };

    private static List<Fact> FactsOf(SmallDump small, TriageDump dump, CrashDumpHeader64 header, string processHow)
    {
        var facts = new List<Fact>
        {
            new("machine", small.Architecture switch { GuestArchitecture.X64 => "x64", GuestArchitecture.Arm64 => "ARM64", _ => null }, $"the header's machine type 0x{header.MachineImageType:x}"),
            new("Windows build", small.Build.ToString(CultureInfo.InvariantCulture), "the header"),
        };
        facts.Add(new Fact("bugcheck", small.BugCheck is { } bug ? $"0x{bug.Code:X} ({bug.Parameter1:x}, {bug.Parameter2:x}, {bug.Parameter3:x}, {bug.Parameter4:x})" : null, "the header"));
        facts.Add(header.SystemUpTime is CrashDumpHeader64.LongFiller or > long.MaxValue
            ? new Fact("up time", null, "the header holds none")
            : new Fact("up time", TimeSpan.FromTicks((long)header.SystemUpTime).ToString("c"), "the header"));
        facts.Add(new Fact("processors", small.ProcessorCount.ToString(CultureInfo.InvariantCulture), "the header"));
        facts.Add(new Fact("crashed processor", small.Processor?.ToString(CultureInfo.InvariantCulture), small.Processor is null ? "the dump has no KPRCB or KDBG" : "its KPRCB, by KDBG's offsets"));
        facts.Add(new Fact("instruction pointer", small.InstructionPointer?.ToString(), small.InstructionPointer is { } pc ? In(small.Drivers, pc) : "the header's CONTEXT holds none"));
        facts.Add(new Fact("stack pointer", small.StackPointer?.ToString(), "the header's CONTEXT"));
        facts.Add(new Fact("thread", small.Thread is null ? null : $"{small.Thread}{(small.ThreadId is { } id ? $" ({id})" : "")}", "CurrentThread of the KPRCB, by KDBG's offsets"));
        facts.Add(new Fact("process", small.Process is { } process ? $"{process.Name}{(small.ProcessWarnings.Count == 0 ? $" ({process.Id})" : "")}, EPROCESS {process.Address}" : null, processHow));
        facts.Add(new Fact("drivers", small.Drivers.Count.ToString(CultureInfo.InvariantCulture), "the dump's list"));
        foreach (var unloaded in small.UnloadedDrivers)
            facts.Add(new Fact("unloaded driver", $"{unloaded.Name} {unloaded.Start}-{unloaded.End}", "the dump's list; names are cut to twelve letters"));
        facts.Add(new Fact("stack", dump.CallStackBytes.Length == 0 ? null : $"{dump.CallStackBytes.Length:#,0} bytes from {dump.TopOfStack}", "of the thread that ran"));
        facts.Add(dump.KdbgBytes.Length == 0
            ? new Fact("KDBG", null, "the dump has none")
            : new Fact("KDBG", $"0x{header.KdDebuggerDataBlock:x}", $"{dump.KdbgBytes.Length} bytes, as Windows decoded it"));
        facts.Add(new Fact("virtual memory", $"{dump.Blocks.Aggregate(0UL, (sum, block) => sum + block.Length):#,0} bytes in {dump.Blocks.Count} blocks", "stack, KDBG and what drivers and Windows added"));
        return facts;
    }

    private static string In(IReadOnlyList<Driver> drivers, VirtualAddress pc)
    {
        foreach (var driver in drivers)
        {
            if (pc - driver.Base < driver.Size)
                return $"the header's CONTEXT; in {driver.Name}+0x{pc - driver.Base:x}";
        }
        return "the header's CONTEXT; in none of the drivers";
    }
}
