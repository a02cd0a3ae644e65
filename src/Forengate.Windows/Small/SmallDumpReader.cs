using System.Buffers.Binary;
using System.Globalization;
using Forengate.Memory;
using Forengate.Symbols;
using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Windows;

/// <summary>Makes a <see cref="SmallDump"/> of a small dump's structures, by the offsets in its own KDBG and, where the build's layout is known, by that.</summary>
public static class SmallDumpReader
{
    /// <summary>Sp and Pc in the ARM64 CONTEXT (<c>winnt.h</c>: ContextFlags and Cpsr, 31 registers, then these).</summary>
    private const int Arm64Sp = 0x100, Arm64Pc = 0x108;

    /// <param name="dump">Open; not kept.</param>
    /// <param name="profiles">Layouts of known kernels: a small dump does not name its kernel's symbols, so one of the same build is taken.</param>
    public static SmallDump Read(TriageDump dump, ProfileStore profiles)
    {
        var header = dump.Header;
        var of = new SmallDumpStructures(dump, profiles);
        var context = dump.ContextRecord;
        var index = of.Number ?? 0;
        const string Source = "the dump's header and KPRCB";
        var cpu = of.Architecture switch
        {
            GuestArchitecture.X64 => SavedRegisters.Read(index, Source, context, of.SpecialRegisters),
            GuestArchitecture.X86 => X86SavedRegisters.Read(index, Source, context, of.SpecialRegisters),
            _ => null,
        };
        var (pc, sp) = of.Architecture == GuestArchitecture.Arm64
            ? (BinaryPrimitives.ReadUInt64LittleEndian(context[Arm64Pc..]), BinaryPrimitives.ReadUInt64LittleEndian(context[Arm64Sp..]))
            : (cpu?.Rip, cpu?.Rsp);
        var process = SmallDumpProcess.Read(of, profiles);
        var small = new SmallDump
        {
            Architecture = of.Architecture,
            Build = header.Build,
            BugCheck = header.BugCheckCode is { } code && header.BugCheckParameters is [var first, var second, var third, var fourth] ? new BugCheckData(code, first, second, third, fourth) : null,
            Processor = of.Number,
            ProcessorCount = header.Processors,
            Cpu = cpu,
            InstructionPointer = pc is { } at ? new VirtualAddress(at) : null,
            StackPointer = sp is { } stack ? new VirtualAddress(stack) : null,
            Thread = of.CurrentThread,
            ThreadId = process.ThreadId,
            Process = process.Process,
            Drivers = [.. dump.Drivers.Select(DriverOf)],
            UnloadedDrivers = dump.UnloadedDrivers,
            Facts = [],
            ProcessWarnings = process.Warnings,
            Damage = [.. dump.Problems.Select(problem => problem.Text)],
        };
        return small with { Facts = [.. FactsOf(small, dump, of.How, process.How)] };
    }

    internal static ushort? Word(ReadOnlySpan<byte> kdbg, K field) =>
        (int)field + sizeof(ushort) <= kdbg.Length && BinaryPrimitives.ReadUInt16LittleEndian(kdbg[(int)field..]) is not 0 and var value ? value : null;

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

    private static List<Fact> FactsOf(SmallDump small, TriageDump dump, string offsetsHow, string processHow)
    {
        var header = dump.Header;
        var facts = new List<Fact>
        {
            new("machine", small.Architecture switch { GuestArchitecture.X64 => "x64", GuestArchitecture.X86 => "x86", GuestArchitecture.Arm64 => "ARM64", _ => null }, $"the header's machine type 0x{header.Machine:x}"),
            new("Windows build", small.Build.ToString(CultureInfo.InvariantCulture), "the header"),
        };
        facts.Add(new Fact("bugcheck", small.BugCheck is { } bug ? $"0x{bug.Code:X} ({bug.Parameter1:x}, {bug.Parameter2:x}, {bug.Parameter3:x}, {bug.Parameter4:x})" : null, "the header"));
        facts.Add(header.UpTime is { } since
            ? new Fact("up time", TimeSpan.FromTicks((long)since).ToString("c"), "the header")
            : new Fact("up time", null, "the header holds none"));
        facts.Add(new Fact("processors", small.ProcessorCount.ToString(CultureInfo.InvariantCulture), "the header"));
        facts.Add(new Fact("crashed processor", small.Processor?.ToString(CultureInfo.InvariantCulture), small.Processor is null ? "the dump has no KPRCB or KDBG" : $"its KPRCB, {offsetsHow}"));
        facts.Add(new Fact("instruction pointer", small.InstructionPointer?.ToString(), small.InstructionPointer is { } pc ? In(small.Drivers, pc) : "the header's CONTEXT holds none"));
        facts.Add(new Fact("stack pointer", small.StackPointer?.ToString(), "the header's CONTEXT"));
        facts.Add(new Fact("thread", small.Thread is null ? null : $"{small.Thread}{(small.ThreadId is { } id ? $" ({id})" : "")}", $"CurrentThread of the KPRCB, {offsetsHow}"));
        facts.Add(new Fact("process", small.Process is { } process ? $"{process.Name}{(small.ProcessWarnings.Count == 0 ? $" ({process.Id})" : "")}, EPROCESS {process.Address}" : null, processHow));
        facts.Add(new Fact("drivers", small.Drivers.Count.ToString(CultureInfo.InvariantCulture), "the dump's list"));
        foreach (var unloaded in small.UnloadedDrivers)
            facts.Add(new Fact("unloaded driver", $"{unloaded.Name} {unloaded.Start}-{unloaded.End}", "the dump's list; names are cut to twelve letters"));
        facts.Add(new Fact("stack", dump.CallStackBytes.Length == 0 ? null : $"{dump.CallStackBytes.Length:#,0} bytes from {dump.TopOfStack}", "of the thread that ran"));
        facts.Add(dump.KdbgBytes.Length == 0
            ? new Fact("KDBG", null, "the dump has none")
            : new Fact("KDBG", header.Kdbg?.ToString() ?? "at an address that the header does not say", $"{dump.KdbgBytes.Length} bytes, as Windows decoded it"));
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
