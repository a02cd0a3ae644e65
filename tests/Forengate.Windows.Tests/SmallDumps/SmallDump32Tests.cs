using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing;
using Forengate.Testing.Hostile;
using Forengate.Testing.Referee;
using F = Forengate.Testing.SmallDumpFile32;

namespace Forengate.Windows.Tests;

/// <summary>Small dumps of 32-bit Windows, made by the tests' builder and judged by the debugger engine.</summary>
public sealed class SmallDump32Tests : IDisposable
{
    private readonly string _path = Path.GetTempFileName() + ".dmp";

    public void Dispose() => File.Delete(_path);

    public static TheoryData<uint, bool> Kinds => new() { { 7601, true }, { 7601, false }, { 2600, true }, { 2600, false } };

    [Theory, MemberData(nameof(Kinds))]
    public void SmallDumpIsReadInFull(uint build, bool pae)
    {
        File.WriteAllBytes(_path, F.Of(build, pae).Bytes);
        Assert.True(TriageDump.IsSmall(_path));
        using var dump = TriageDump.Open(_path);
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);

        Assert.Empty(small.Damage);
        Assert.Equal(GuestArchitecture.X86, small.Architecture);
        Assert.Equal(build, small.Build);
        Assert.Equal(new BugCheckData(0xD1, 8, 2, 1, F.Eip), small.BugCheck);
        Assert.Equal((1, 2u), (small.Processor, small.ProcessorCount));
        Assert.Equal((F.Thread, (ulong?)F.ThreadId), (small.Thread!.Value.Value, small.ThreadId));
        var process = small.Process!;
        Assert.Equal((F.ProcessId, F.ParentId, "worker.exe", 3u), (process.Id, process.ParentId, process.Name, process.ThreadCount));
        Assert.Equal(DateTime.FromFileTimeUtc((long)F.CreateTime), process.CreateTime!.Value.UtcDateTime);
        Assert.Equal((F.Process, F.Table, F.Peb), (process.Address.Value, process.DirectoryTableBase, process.Peb!.Value.Value));
        Assert.False(process.HasExited || process.IsWow64);
        Assert.Empty(small.ProcessWarnings);

        Assert.Equal(["ntkrnlpa.exe", "halmacpi.dll", "broken.sys"], small.Drivers.Select(driver => driver.Name));
        Assert.Equal((@"\SystemRoot\system32\DRIVERS\broken.sys", F.DriverBase, F.DriverSize, (uint?)0x5A0B0C0D),
            (small.Drivers[2].Path, small.Drivers[2].Base.Value, small.Drivers[2].Size, small.Drivers[2].TimeDateStamp));
        Assert.Equal(
            [new TriageUnloadedDriver("dump_diskd", new(0x8F000000), new(0x8F009000)), new TriageUnloadedDriver("crashdmp.sys", new(0x8F100000), new(0x8F109000))], small.UnloadedDrivers);

        var cpu = small.Cpu!;
        Assert.Equal((F.Eip, F.Esp, F.Esp + 0x40, 0x10246ul), (cpu.Rip, cpu.Rsp, cpu.Rbp, cpu.Rflags));
        Assert.Equal((0xA0A00006ul, 0xB0B00003ul, 0xC0C00005ul, 0xD0D00004ul, 0x51510002ul, 0xD1D10001ul), (cpu.Rax, cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi));
        Assert.Equal((8, 0x10, 0x30), ((int)cpu.Cs!.Value.Selector, cpu.Ss!.Value.Selector, cpu.Fs!.Value.Selector));
        Assert.Equal(((ulong?)F.Table, pae ? F.Cr4 : F.Cr4 & ~0x20u), (cpu.Cr3, cpu.Cr4));
        Assert.Equal(((ulong)F.GdtBase, (ulong)F.IdtBase), (cpu.Gdtr!.Value.Base, cpu.Idtr!.Value.Base));
        Assert.Null(cpu.R8);
        Assert.Contains(small.Facts, fact => fact is { Name: "instruction pointer", Value: "0x8e10123a" } && fact.How.Contains("broken.sys+0x123a", StringComparison.Ordinal));
        Assert.Contains(small.Facts, fact => fact is { Name: "machine", Value: "x86" });
        Assert.DoesNotContain(small.Facts, fact => fact.Value is null);

        // Virtual memory: the stack, KDBG, a block whose address is stored with its sign.
        var bytes = new byte[F.PageText.Length];
        Assert.True(dump.TryRead(new VirtualAddress(F.PageOfData), bytes));
        Assert.Equal(F.PageText, System.Text.Encoding.ASCII.GetString(bytes));
        Assert.True(dump.TryRead(new VirtualAddress(F.Esp), bytes.AsSpan(0, 4)));
        Assert.Equal(0x57AC0000u, BitConverter.ToUInt32(bytes));
        Assert.True(dump.TryRead(new VirtualAddress(F.Kdbg + 0x10), bytes.AsSpan(0, 4)));
        Assert.Equal("KDBG"u8, bytes.AsSpan(0, 4));
        Assert.Equal(0, dump.Read(new VirtualAddress(0x1000), bytes));

        using var view = ImageReader.Open(_path);
        Assert.Equal($"Windows crash dump, 32-bit small{(pae ? " (PAE)" : "")}", view.Origin.Format);
        Assert.Empty(view.Memory.Ranges);
    }

    /// <summary>The engine opens it as what it is, with our stop code, registers, modules and memory.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public void TheEngineReadsWhatWeRead(uint build, bool pae)
    {
        File.WriteAllBytes(_path, F.Of(build, pae).Bytes);
        const ulong Signed = 0xFFFF_FFFF_0000_0000;
        var verdict = DebuggerEngine.Judge(
            _path, EngineVerdict.ReadOf(Signed | F.PageOfData, F.PageText.Length), EngineVerdict.ReadOf(Signed | F.Esp, 4), ".bugcheck", "lm t n", "r cr3,cr4,gdtr,idtr", "? $thread", "? $proc");
        Assert.True(verdict.Opened, verdict.Refusal);
        Assert.Contains("32 bit Kernel Mini Dump", verdict.Header.Kind, StringComparison.Ordinal);
        Assert.Contains($"Kernel Version {build} MP (2 procs) Free x86 compatible", verdict["vertarget"], StringComparison.Ordinal);
        Assert.Contains("Bugcheck code 000000D1\nArguments 00000008 00000002 00000001 8e10123a", verdict[".bugcheck"], StringComparison.Ordinal);
        Assert.Equal([("hal", 0x827C9000, 0x82800000), ("nt", F.KernelBase, F.KernelBase + F.KernelSize), ("broken", F.DriverBase, (ulong)F.DriverBase + F.DriverSize)],
            verdict.Modules.Select(module => (module.Name, module.Start, module.End)));
        Assert.Contains("(5A0B0C0D)", verdict["lm t n"], StringComparison.Ordinal);
        Assert.Equal([("dump_diskd", 0x8F000000ul), ("crashdmp.sys", 0x8F100000ul)], verdict.UnloadedModules.Select(module => (module.Name, module.Start)));
        var registers = verdict.Registers[0];
        Assert.Equal((F.Eip, F.Esp, 0xA0A00006ul, 0xD1D10001ul, 8ul, 0x30ul), (registers["eip"], registers["esp"], registers["eax"], registers["edi"], registers["cs"], registers["fs"]));
        Assert.Contains($"cr3={F.Table:x8} cr4={(pae ? F.Cr4 : F.Cr4 & ~0x20u):x8} gdtr={F.GdtBase:x8} idtr={F.IdtBase:x8}", verdict["r cr3,cr4,gdtr,idtr"], StringComparison.Ordinal);
        Assert.Contains($"{F.Thread:x8}", verdict["? $thread"], StringComparison.Ordinal);
        Assert.Contains($"{F.Process:x8}", verdict["? $proc"], StringComparison.Ordinal);
        Assert.Equal(F.PageText, string.Concat(verdict.Memory(Signed | F.PageOfData, F.PageText.Length).Select(one => (char)(one ?? (byte)'?'))));
        Assert.Equal([0, 0, 0xAC, 0x57], verdict.Memory(Signed | F.Esp, 4));
    }

    /// <summary>A kernel of which no layout is known: what KDBG tells is told, and the rest is not guessed.</summary>
    [Theory]
    [InlineData(0x0C, 7700u)]
    [InlineData(0, 0u)]
    public void UnknownBuildTellsWhatKdbgTells(int headerField, uint value)
    {
        var file = F.Of(7601, true);
        var bytes = file.Bytes;
        if (headerField != 0)
            BitConverter.TryWriteBytes(bytes.AsSpan(headerField), value);
        else
            BitConverter.TryWriteBytes(bytes.AsSpan(file.KdbgAt + 0x2A8), (ushort)0x2B8);
        File.WriteAllBytes(_path, bytes);
        using var dump = TriageDump.Open(_path);
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);
        Assert.Contains("no layout of this kernel is known", Assert.Single(small.ProcessWarnings), StringComparison.Ordinal);
        Assert.Equal((0ul, F.ParentId, "worker.exe", F.Process, F.Table), (small.Process!.Id, small.Process.ParentId, small.Process.Name, small.Process.Address.Value, small.Process.DirectoryTableBase));
        Assert.Equal((F.Thread, (ulong?)null, (int?)1), (small.Thread!.Value.Value, small.ThreadId, small.Processor));
        Assert.Equal(F.Eip, small.Cpu!.Rip);
    }

    [Fact]
    public void CutSmallDumpIsReadAsFarAsItGoes()
    {
        var file = F.Of(7601, true);
        File.WriteAllBytes(_path, file.Bytes[..(file.DriversAt + 0x60)]);
        using var dump = TriageDump.Open(_path);
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);
        Assert.Contains(small.Damage, line => line.Contains("it was cut off", StringComparison.Ordinal));
        Assert.Contains(small.Damage, line => line.Contains("or its name lies beyond", StringComparison.Ordinal));
        Assert.Contains(small.Damage, line => line.Contains("data blocks lie beyond the file", StringComparison.Ordinal));
        Assert.Equal((F.ProcessId, 0xD1u), (small.Process!.Id, small.BugCheck!.Code));
        Assert.Empty(small.Drivers);
    }

    [Theory]
    [InlineData(7601u)]
    [InlineData(2600u)]
    public void SpoiltSmallDumpsEndInAnAnswer(uint build) => Bounded.Survives(F.Of(build, true).Bytes, seed: build, count: 300, bytes =>
    {
        File.WriteAllBytes(_path, bytes);
        try
        {
            using var dump = TriageDump.Open(_path);
            var small = SmallDumpReader.Read(dump, ProfileStore.Carried);
            Assert.NotEmpty(small.Facts);
            Span<byte> buffer = stackalloc byte[64];
            foreach (var block in dump.Blocks.Take(100))
                Assert.True(dump.Read(block.Start, buffer) >= Math.Min(64, (int)Math.Min(block.Length, 64u)));
        }
        catch (ImageFormatException refused)
        {
            Assert.DoesNotContain('\n', refused.Message);
        }
    });
}
