using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Testing;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps.Tests;

/// <summary>Each planted fault is found, by name; a good dump and genuine headers pass.</summary>
public sealed class DumpCheckerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    [InlineData(8, false)]
    public void GoodDumpPasses(int processors, bool encoded)
    {
        var report = DumpChecker.Check(Dump(new HandMadeGuest(processors, encoded)));
        Assert.Empty(report.Findings);
        Assert.True(report.Passed);
        Assert.Equal("64-bit complete dump", report.Kind);
        Assert.Equal(processors, report.Processors.Count);
        Assert.Equal(3, report.Modules);
        Assert.Equal(2, report.Processes);
        Assert.Equal([0x2000u, 0xA1000u], report.Runs.Select(run => run.FileOffset));
    }

    [Fact]
    public void TruncatedFile()
    {
        var path = Dump(new HandMadeGuest());
        using (var file = File.OpenWrite(path))
            file.SetLength(file.Length - 0x3000);
        Finds(path, CheckCode.Truncated, "from physical address 0xffd000 on");
    }

    [Fact]
    public void WrongDirectoryTable()
    {
        var guest = new HandMadeGuest();
        Finds(Dump(guest, (header, _) => Qword(header, L.DirectoryTableBase, guest.DirectoryTableBase + 0x2000)), CheckCode.DirectoryTable, "is no page table of the kernel");
        Finds(Dump(guest, (header, _) => Qword(header, L.DirectoryTableBase, 0xFFFF_0000_0000)), CheckCode.DirectoryTable, "that page is not in the dump");
    }

    [Fact]
    public void EncodedDebuggerBlockLeftIn()
    {
        var guest = new HandMadeGuest(encoded: true);
        var facts = guest.Facts();
        var path = _folder["encoded.dmp"];
        DumpWriter.Write(DumpPlan.For(facts with { Kdbg = facts.Kdbg! with { Encoded = false } }, DumpOptions.Default), path);
        Finds(path, CheckCode.DebuggerDataEncoded, "still encoded");
    }

    [Theory]
    [InlineData(L.DirectoryTableBase, 8)]
    [InlineData(L.PsLoadedModuleList, 8)]
    [InlineData(L.KdDebuggerDataBlock, 8)]
    [InlineData(L.MachineImageType, 4)]
    [InlineData(L.NumberProcessors, 4)]
    [InlineData(L.BugCheckCode, 4)]
    [InlineData(L.BugCheckParameter2, 8)]
    [InlineData(L.MajorVersion, 4)]
    [InlineData(L.MinorVersion, 4)]
    [InlineData(L.NumberOfRuns, 4)]
    [InlineData(L.NumberOfPages, 8)]
    [InlineData(L.ExceptionCode, 4)]
    [InlineData(L.SystemTime, 8)]
    public void MarkerLettersInAFieldThatIsActedOn(int offset, int length) =>
        Finds(Dump(new HandMadeGuest(), (header, _) => Letters(header.Slice(offset, length))), CheckCode.Filler, "still holds the letters PAGE, and debuggers act on it");

    /// <summary>What the engine passes over and other readers do not.</summary>
    [Theory]
    [InlineData(L.PsActiveProcessHead, 8)]
    [InlineData(L.PfnDataBase, 8)]
    [InlineData(L.ExceptionAddress, 8)]
    [InlineData(L.ContextRecord, 0x4D0)]
    [InlineData(L.DumpType, 4)]
    public void MarkerLettersThatOnlyOthersMindAreWarnings(int offset, int length)
    {
        var report = DumpChecker.Check(Dump(new HandMadeGuest(), (header, _) => Letters(header.Slice(offset, length))));
        Assert.Contains(report.Findings, finding => finding.Severity == CheckSeverity.Warning && finding.Code == CheckCode.Filler && finding.Text.Contains("still holds the letters PAGE", StringComparison.Ordinal));
    }

    [Fact]
    public void MarkerLettersInAttributesOfAFullBitmapDump()
    {
        var path = Dump(new HandMadeGuest(), (header, _) =>
        {
            BinaryPrimitives.WriteUInt32LittleEndian(header[L.DumpType..], (uint)CrashDumpType.BitmapFull);
            Letters(header.Slice(L.Attributes, 4));
        });
        Finds(path, CheckCode.Filler, "active-memory dump");
    }

    /// <summary>Where Windows leaves filler too, it is a note.</summary>
    [Theory]
    [InlineData(L.SystemUpTime, 8)]
    [InlineData(L.ProductType, 8)]
    [InlineData(L.Attributes, 4)]
    [InlineData(L.MiniDumpFields, 4)]
    [InlineData(L.BugCheckPadding, 4)]
    public void MarkerLettersElsewhereAreNotes(int offset, int length)
    {
        var report = DumpChecker.Check(Dump(new HandMadeGuest(), (header, _) => Letters(header.Slice(offset, length))));
        Assert.True(report.Passed);
        Assert.All(report.Findings, finding => Assert.Equal(CheckSeverity.Note, finding.Severity));
    }

    [Fact]
    public void ARunTooMany()
    {
        Finds(Dump(new HandMadeGuest(), (header, _) => AddRun(header, new(0x2000, 0x10), countPages: true)), CheckCode.Truncated, "a run too many");
        Finds(Dump(new HandMadeGuest(), (header, _) => AddRun(header, new(0x2000, 0x10), countPages: false)), CheckCode.RunSum, "NumberOfPages says");
        Finds(Dump(new HandMadeGuest(), (header, _) => BinaryPrimitives.WriteUInt32LittleEndian(header[L.NumberOfRuns..], 43)), CheckCode.Runs, "only 42 fit");
    }

    [Fact]
    public void RunsInTheWrongOrder()
    {
        var path = Dump(new HandMadeGuest(), (header, _) =>
        {
            Span<byte> first = stackalloc byte[16];
            header.Slice(L.FirstRun, 16).CopyTo(first);
            header.Slice(L.FirstRun + 16, 16).CopyTo(header[L.FirstRun..]);
            first.CopyTo(header[(L.FirstRun + 16)..]);
        });
        Finds(path, CheckCode.RunOrder, "ascending order");
    }

    [Fact]
    public void ContextsSwapped()
    {
        var guest = new HandMadeGuest(4);
        // The contexts alone, as one who numbers vCPUs like processors would.
        var facts = guest.Facts();
        var processors = facts.Processors.ToList();
        (processors[1], processors[2]) = (processors[1] with { Context = processors[2].Context, ContextFrame = null, SpecialRegisters = null },
            processors[2] with { Context = processors[1].Context, ContextFrame = null, SpecialRegisters = null });
        var path = _folder["swapped.dmp"];
        DumpWriter.Write(DumpPlan.For(facts with { Processors = processors }, DumpOptions.Default), path);
        Finds(path, CheckCode.ContextSwapped, "processor 1 has the CONTEXT of processor 2");

        // Everything of two processors.
        processors = [.. guest.Facts().Processors];
        (processors[1], processors[2]) = (processors[1] with { Cpu = processors[2].Cpu }, processors[2] with { Cpu = processors[1].Cpu });
        DumpWriter.Write(DumpPlan.For(facts with { Processors = processors }, DumpOptions.Default), path);
        Finds(path, CheckCode.ContextSwapped, "processor 2 has the SpecialRegisters of processor 1");
    }

    [Fact]
    public void GdtUnreadable()
    {
        var guest = new HandMadeGuest();
        guest.Unmap(guest.Cpu(1).Gdtr!.Value.Base);
        Finds(Dump(guest), CheckCode.Gdt, "processor 1: the GDT at");
    }

    [Fact]
    public void UnreadableProcessor()
    {
        var guest = new HandMadeGuest();
        guest.Unmap(HandMadeGuest.Kpcr(1));
        Finds(Dump(guest), CheckCode.ProcessorBlock, "processor 1: its KPRCB");
    }

    [Fact]
    public void UnreadableSharedData()
    {
        var guest = new HandMadeGuest();
        guest.Unmap(DebuggerEye.SharedDataAddress.Value);
        Finds(Dump(guest), CheckCode.SharedData, "cannot be read");
    }

    [Fact]
    public void BrokenLists()
    {
        var guest = new HandMadeGuest();
        guest.Write(HandMadeGuest.ModuleHead, BitConverter.GetBytes(0xFFFFF80011111110));
        Finds(Dump(guest), CheckCode.Modules, "entry 1 at 0xfffff80011111110 cannot be read");
        guest = new HandMadeGuest();
        guest.Write(HandMadeGuest.ProcessHead, BitConverter.GetBytes(HandMadeGuest.ModuleHead));
        Finds(Dump(guest), CheckCode.Processes, "does not close");
    }

    [Fact]
    public void ProcessorNumberWrong()
    {
        Finds(Dump(new HandMadeGuest(), (header, _) => header[L.NumberProcessors] = 5), CheckCode.ProcessorBlock, "KiProcessorBlock ends after 2 processors");
        var report = DumpChecker.Check(Dump(new HandMadeGuest(), (header, _) => header[L.NumberProcessors] = 1));
        Assert.Contains(report.Findings, finding => finding.Severity == CheckSeverity.Warning && finding.Code == CheckCode.ProcessorBlock);
    }

    [Fact]
    public void GenuineCompleteHeaderPasses()
    {
        var bytes = File.ReadAllBytes(RealData.PathOf("dumps/full-header-win10-19041-x64.bin"));
        var header = new CrashDumpHeader64(bytes);
        var findings = DumpChecker.CheckHeader(header, header.RequiredDumpSpace + L.HeaderSize);
        Assert.NotEmpty(findings);
        Assert.All(findings, finding => Assert.Equal(CheckSeverity.Note, finding.Severity));
    }

    [Fact]
    public void GenuineSmallDumpPasses()
    {
        var report = DumpChecker.Check(RealData.PathOf("dumps/triage-win10-17134-arm64.dmp"));
        Assert.Equal(228, report.Modules);
        Assert.Equal("64-bit small dump", report.Kind);
        Assert.All(report.Findings, finding => Assert.Equal(CheckSeverity.Note, finding.Severity));
    }

    [Fact]
    public void TruncatedSmallDump()
    {
        var bytes = File.ReadAllBytes(RealData.PathOf("dumps/triage-win10-17134-arm64.dmp"));
        var path = _folder["small.dmp"];
        File.WriteAllBytes(path, bytes[..0x9000]);
        Finds(path, CheckCode.Truncated, "it was cut off");
    }

    [Theory]
    [InlineData(7601u, true)]
    [InlineData(7601u, false)]
    [InlineData(2600u, true)]
    public void SmallDumpOf32BitsPasses(uint build, bool pae)
    {
        var path = _folder["small-32.dmp"];
        File.WriteAllBytes(path, SmallDumpFile32.Of(build, pae).Bytes);
        var report = DumpChecker.Check(path);
        Assert.Equal((3, "32-bit small dump"), (report.Modules, report.Kind));
        Assert.Empty(report.Findings);
    }

    [Fact]
    public void SpoiltSmallDumpOf32BitsIsFound()
    {
        var file = SmallDumpFile32.Of(7601, true);
        var path = _folder["small-32.dmp"];
        void Spoil(int at, string code, string says, params byte[] with)
        {
            var bytes = file.Bytes;
            with.CopyTo(bytes, at);
            File.WriteAllBytes(path, bytes);
            Finds(path, code, says);
        }
        Spoil(file.EndMarkAt, CheckCode.Triage, "TRGD", 0);
        Spoil(file.KdbgAt + 0x10, CheckCode.DebuggerData, "where the dump says KDBG is, lies none", 0);
        Spoil(file.DriversAt + 0x4C, CheckCode.Modules, "driver 2 of 3", 0, 0, 1, 0);
        Spoil(0x1000 + 0x1C, CheckCode.Truncated, "PrcbOffset 0x10000000", 0, 0, 0, 0x10);
        Spoil(0x1000 + 0x64, CheckCode.Truncated, "data blocks lie beyond the file", 9);
        Spoil(0x24, CheckCode.HeaderValue, "NumberProcessors is 33", 33);
        Spoil(0x28, CheckCode.Filler, "BugCheckCode", "PAGE"u8.ToArray());
        Spoil(0x20, CheckCode.HeaderValue, "0x8664", 0x64, 0x86);
        File.WriteAllBytes(path, file.Bytes[..0x1040]);
        Finds(path, CheckCode.Truncated, "ends before its small dump's directory");
    }

    /// <summary>Seeded: damage anywhere in header and structures ends in a report, never otherwise.</summary>
    [Fact]
    public void DamagedDumpsEndInAReport()
    {
        var good = File.ReadAllBytes(Dump(new HandMadeGuest(4)));
        var used = Enumerable.Range(0, good.Length / 8).Where(i => BitConverter.ToUInt64(good, i * 8) != 0).ToArray();
        var random = new Random(1_999);
        ulong[] wild = [0, 1, ulong.MaxValue, 0xFFFFF80010000000, 0xFFFFF78000000000, 1UL << 47, 0x8000000000000000, HandMadeGuest.Kdbg, HandMadeGuest.ModuleHead, 0x63];
        var path = _folder["mutant.dmp"];
        for (var round = 0; round < 150; round++)
        {
            var bytes = (byte[])good.Clone();
            for (var i = random.Next(1, 40); i > 0; i--)
                BitConverter.TryWriteBytes(bytes.AsSpan(8 * (random.Next(2) == 0 ? random.Next(1, 0x30) : used[random.Next(1, used.Length)])), random.Next(2) == 0 ? wild[random.Next(wild.Length)] : (ulong)random.NextInt64());
            File.WriteAllBytes(path, bytes.AsSpan(0, random.Next(8) == 0 ? random.Next(L.HeaderSize, bytes.Length) : bytes.Length));
            try
            {
                Assert.InRange(DumpChecker.Check(path, null, TestContext.Current.CancellationToken).Findings.Count, 0, 400);
            }
            catch (ImageFormatException)
            {
            }
        }
    }

    private static void Finds(string path, string code, string text)
    {
        var report = DumpChecker.Check(path);
        Assert.False(report.Passed);
        Assert.True(report.Findings.Any(finding => finding.Severity == CheckSeverity.Error && finding.Code == code && finding.Text.Contains(text, StringComparison.Ordinal)),
            $"no error {code} with '{text}' in:\n{string.Join('\n', report.Findings)}");
    }

    private delegate void Plant(Span<byte> header, byte[] file);

    private string Dump(HandMadeGuest guest, Plant? plant = null)
    {
        var path = _folder["guest.dmp"];
        DumpWriter.Write(DumpPlan.For(guest.Facts(), DumpOptions.Default), path);
        if (plant is not null)
        {
            var file = File.ReadAllBytes(path);
            plant(file.AsSpan(0, L.HeaderSize), file);
            File.WriteAllBytes(path, file);
        }
        return path;
    }

    private static void Letters(Span<byte> field)
    {
        for (var i = 0; i < field.Length; i++)
            field[i] = "PAGE"u8[i & 3];
    }

    private static void Qword(Span<byte> header, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(header[offset..], value);

    private static void AddRun(Span<byte> header, CrashDumpRun run, bool countPages)
    {
        var count = BinaryPrimitives.ReadUInt32LittleEndian(header[L.NumberOfRuns..]);
        Qword(header, L.FirstRun + ((int)count * L.RunSize), run.BasePage);
        Qword(header, L.FirstRun + ((int)count * L.RunSize) + 8, run.PageCount);
        BinaryPrimitives.WriteUInt32LittleEndian(header[L.NumberOfRuns..], count + 1);
        if (countPages)
            Qword(header, L.NumberOfPages, BinaryPrimitives.ReadUInt64LittleEndian(header[L.NumberOfPages..]) + run.PageCount);
    }
}
