using System.IO.Compression;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing;
using Forengate.Testing.Hostile;

namespace Forengate.Windows.Tests;

/// <summary>Small dumps: one that Windows wrote on ARM64, and one of a twin whose truth is known, written by the debugger engine.</summary>
public sealed class SmallDumpTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void SmallDumpOfATwinIsItsTruth()
    {
        File.WriteAllBytes(_path, TwinsDump());
        Assert.True(TriageDump.IsSmall(_path));
        using var dump = TriageDump.Open(_path);
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);

        Assert.Empty(small.Damage);
        Assert.Equal(GuestArchitecture.X64, small.Architecture);
        Assert.Equal(19041u, small.Build);
        Assert.Equal(new BugCheckData(0xD1, 8, 2, 1, 0xFFFFF80000001234), small.BugCheck);
        Assert.Equal(1, small.Processor);
        Assert.Equal(2u, small.ProcessorCount);
        Assert.Equal(0xFFFFF0000EE301E0u, small.Thread!.Value.Value);
        Assert.Equal(8972u, small.ThreadId);
        var process = small.Process!;
        Assert.Equal((1028ul, 11560ul, "worker.exe"), (process.Id, process.ParentId, process.Name));
        Assert.Equal(new DateTime(2026, 3, 17, 6, 14, 56), process.CreateTime!.Value.UtcDateTime, TimeSpan.FromSeconds(1));
        Assert.Equal(0xFFFFF0000EE2E060u, process.Address.Value);
        Assert.Equal((0x1320000ul, (ulong?)0x1309000, 1u), (process.DirectoryTableBase, process.UserDirectoryTableBase, process.ThreadCount));
        Assert.Equal(0x4E7033E000u, process.Peb!.Value.Value);
        Assert.False(process.HasExited);
        Assert.Empty(small.ProcessWarnings);
        Assert.Equal(60, small.Drivers.Count);
        Assert.Equal(("ntoskrnl.exe", 0xFFFFF8072B600000u), (small.Drivers[0].Name, small.Drivers[0].Base.Value));
        // The registers: general ones from the header, descriptor tables from the KPRCB.
        Assert.Equal(small.InstructionPointer!.Value.Value, small.Cpu!.Rip);
        Assert.Equal(0x10, small.Cpu.Cs!.Value.Selector);
        Assert.Equal(0x15C0DE0000000001u, small.Cpu.R15);
        Assert.Equal(0xFFFFA60022820FB0u, small.Cpu.Gdtr!.Value.Base);
        Assert.DoesNotContain(small.Facts, fact => fact.Value is null);

        // Memory by virtual address: the stack, KDBG, and nothing between.
        Span<byte> bytes = stackalloc byte[0x18];
        Assert.True(dump.TryRead(dump.Header.Kdbg!.Value, bytes));
        Assert.True(bytes[0x10..0x14].SequenceEqual("KDBG"u8));
        Assert.True(dump.TryRead(dump.TopOfStack, bytes));
        Assert.True(dump.CallStackBytes.StartsWith(bytes));
        Assert.Equal(0, dump.Read(new VirtualAddress(0x1000), bytes));
        Assert.Equal(8, dump.Read(dump.TopOfStack + (ulong)dump.CallStackBytes.Length - 8, bytes));
    }

    [Fact]
    public void RealSmallDumpOfArm64()
    {
        using var dump = TriageDump.Open(RealData.PathOf("dumps/triage-win10-17134-arm64.dmp"));
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);

        Assert.Empty(small.Damage);
        Assert.Equal(GuestArchitecture.Arm64, small.Architecture);
        Assert.Equal(0xE2u, small.BugCheck!.Code);
        Assert.Equal(0, small.Processor);
        Assert.Null(small.Cpu);
        Assert.Contains(small.Facts, fact => fact is { Name: "instruction pointer", Value: "0xfffff801bcd52de8" } && fact.How.Contains("ntoskrnl.exe+0x222de8", StringComparison.Ordinal));
        Assert.Equal("System", small.Process!.Name);
        Assert.Equal(0xFFFFC18EA76B2480u, small.Process.Address.Value);
        Assert.Contains("no layout of this kernel is known", Assert.Single(small.ProcessWarnings), StringComparison.Ordinal);
        Assert.Equal(228, small.Drivers.Count);
        Assert.Equal(9, small.UnloadedDrivers.Count);
        Assert.Equal(new TriageUnloadedDriver("MSKSSRV.sys", new(0xFFFFF800A1920000), new(0xFFFFF800A192F000)), small.UnloadedDrivers[0]);
        Assert.Equal(1571, dump.Blocks.Count);
    }

    [Fact]
    public void CutSmallDumpIsReadAsFarAsItGoes()
    {
        var whole = TwinsDump();
        File.WriteAllBytes(_path, whole[..0x10000]);
        using var dump = TriageDump.Open(_path);
        var small = SmallDumpReader.Read(dump, ProfileStore.Carried);
        Assert.Contains(small.Damage, line => line.Contains("it was cut off", StringComparison.Ordinal));
        Assert.Contains(small.Damage, line => line.Contains("data blocks lie beyond the file", StringComparison.Ordinal) || line.Contains("or its name lies beyond", StringComparison.Ordinal));
        Assert.Equal(1028u, small.Process!.Id);
        Assert.Equal(0xD1u, small.BugCheck!.Code);
    }

    [Fact]
    public void SpoiltSmallDumpsEndInAnAnswer() => Bounded.Survives(TwinsDump(), seed: 4, count: 300, bytes =>
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

    private static byte[] TwinsDump()
    {
        using var packed = new GZipStream(File.OpenRead(Checkout.PathOf("tests/corpus/dmp/small-by-debugger-64.dmp.gz")), CompressionMode.Decompress);
        using var content = new MemoryStream();
        packed.CopyTo(content);
        return content.ToArray();
    }
}
