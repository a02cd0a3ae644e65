using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing;
using Forengate.Testing.Hostile;
using Forengate.Testing.Referee;
using Forengate.Testing.X86;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Dumps of 32-bit systems: judged, written from an ELF core, and opened by the debugger engine.</summary>
public sealed class X86DumpTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<uint, bool> Kinds => new(X86Build.All.SelectMany(build => new[] { (build.Build, false), (build.Build, true) }));

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory, MemberData(nameof(Kinds))]
    public void ATrueDumpPasses(uint build, bool pae)
    {
        X86Files.WriteCrashDump(new X86Guest(X86Build.Of(build), pae), _folder["true.dmp"]);
        var report = Check("true.dmp");
        Assert.Empty(report.Findings);
        Assert.Equal((3, 3), (report.Modules, report.Processes));
    }

    [Theory]
    [InlineData(CheckCode.DirectoryTable, 0x10, 0x5000u)]
    [InlineData(CheckCode.Modules, 0x18, X86Guest.ModuleHead + 8)]
    [InlineData(CheckCode.Modules, 0x18, 0x1000u)]
    [InlineData(CheckCode.Processes, 0x1C, X86Guest.ProcessHead + 0x40)]
    [InlineData(CheckCode.Windows, 0x24, 7u)]
    [InlineData(CheckCode.DebuggerData, 0x60, X86Guest.Kdbg + 0x10)]
    [InlineData(CheckCode.HeaderValue, 0x5C, 0u)]
    public void AFaultInTheHeaderIsFound(string code, int offset, uint value)
    {
        X86Files.WriteCrashDump(new X86Guest(X86Build.Seven, pae: true), _folder["fault.dmp"], header => BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(offset), value));
        var report = Check("fault.dmp");
        Assert.False(report.Passed);
        Assert.Contains(report.Findings, finding => finding.Severity == CheckSeverity.Error && finding.Code == code);
    }

    [Fact]
    public void AFaultInMemoryIsFound()
    {
        var guest = new X86Guest(X86Build.Seven, pae: false);
        guest.Put32(X86Guest.Pool + 0x4_0400, 0x1234_5678);
        X86Files.WriteCrashDump(guest, _folder["torn.dmp"]);
        Assert.Contains(Check("torn.dmp").Findings, finding => finding is { Severity: CheckSeverity.Error, Code: CheckCode.Modules });

        X86Files.WriteCrashDump(new X86Guest(X86Build.Ten, pae: false, encoded: true), _folder["encoded.dmp"]);
        Assert.Contains(Check("encoded.dmp").Findings, finding => finding is { Severity: CheckSeverity.Error, Code: CheckCode.DebuggerData });
    }

    [Theory, MemberData(nameof(Kinds))]
    public void AnElfCoreBecomesADump(uint build, bool pae)
    {
        var guest = new X86Guest(X86Build.Of(build), pae, encoded: build > 9000);
        var path = Convert(guest);
        var report = Check(Path.GetFileName(path));
        Assert.Empty(report.Findings);
        Assert.Equal((3, 3), (report.Modules, report.Processes));
        using var view = ImageReader.Open(path, cancellation: Ct);
        var system = WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!;
        Assert.Equal((pae, guest.Tables[0]), (system.IsPae, (uint)system.Kernel.DirectoryTableBase.Value));
        Assert.False(system.Kdbg!.Encoded);
        Assert.Equal(guest.PlainKdbg[0x10..], system.Kdbg.Bytes.ToArray()[0x10..]);
        for (var i = 0; i < guest.ProcessorCount; i++)
        {
            Assert.True(system.Kernel.TryRead(system.Processors[i].Context + 0xB8, out uint eip));
            Assert.Equal(X86Guest.Kernel + 0x3000 + (uint)i, eip);
            Assert.True(system.Kernel.TryRead(system.Processors[i].SpecialRegisters + 8, out uint cr3));
            Assert.Equal(guest.Tables[i], cr3);
        }
    }

    /// <summary>A bitmap dump has the same pages at other places; the kinds that need what is known of 64-bit systems only are declined in a line.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public void ABitmapHasTheSamePages(uint build, bool pae)
    {
        var guest = new X86Guest(X86Build.Of(build), pae, encoded: build > 9000);
        var full = Convert(guest);
        var bitmap = Convert(guest, DumpKind.Bitmap);
        var report = Check(Path.GetFileName(bitmap));
        Assert.Empty(report.Findings);
        Assert.Equal(("32-bit full bitmap dump", 3, 3), (report.Kind, report.Modules, report.Processes));
        using var one = ImageReader.Open(full, cancellation: Ct);
        using var other = ImageReader.Open(bitmap, cancellation: Ct);
        Assert.Equal(one.Memory.Ranges, other.Memory.Ranges);
        byte[] a = new byte[Page.Size], b = new byte[Page.Size];
        foreach (var range in one.Memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                Assert.True(one.Memory.TryRead(at, a) && other.Memory.TryRead(at, b));
                Assert.Equal(a, b);
            }
        }
    }

    [Theory]
    [InlineData(DumpKind.Active)]
    [InlineData(DumpKind.Kernel)]
    [InlineData(DumpKind.Small)]
    public void OtherKindsAreDeclined(DumpKind kind)
    {
        X86Files.WriteElf(new X86Guest(X86Build.Seven, pae: true), _folder["guest.elf"]);
        using var view = ImageReader.Open(_folder["guest.elf"], cancellation: Ct);
        var system = WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!;
        Assert.Contains("--type bitmap", Assert.Throws<DumpWriteException>(() => X86DumpPlan.For(system, new DumpOptions { Kind = kind })).Message, StringComparison.Ordinal);
    }

    /// <summary>Microsoft's debugger engine opens what we wrote, and what the tests' builder wrote, as that Windows.</summary>
    [Theory]
    [InlineData(DumpKind.Full)]
    [InlineData(DumpKind.Bitmap)]
    public void TheEngineOpensOurDumps(DumpKind kind)
    {
        DebuggerEngine.SkipUnlessAccepted();
        var guests = X86Build.All.SelectMany(build => new[] { new X86Guest(build, false, encoded: build.Build > 9000), new X86Guest(build, true, encoded: build.Build > 9000) }).ToArray();
        var verdicts = DebuggerEngine.JudgeAll([.. guests.Select(guest => Convert(guest, kind))], "each r");
        for (var i = 0; i < guests.Length; i++)
        {
            var (guest, verdict) = (guests[i], verdicts[i]);
            var name = $"{guest.Build.Version}, PAE {guest.Pae}: {verdict.Everything}";
            Assert.True(verdict.Opened, name);
            Assert.True(verdict.Target.Build == (int)guest.Build.Build, name);
            Assert.True(verdict.Target.Version!.Contains("x86 compatible", StringComparison.Ordinal), name);
            Assert.True(verdict.Target.Processors == 2, name);
            Assert.True(verdict.Target.KernelBase == X86Guest.Kernel && verdict.Target.PsLoadedModuleList == X86Guest.ModuleHead, name);
            Assert.True(verdict.Modules.Select(module => (module.Name, (uint)module.Start)).ToHashSet().SetEquals([("nt", X86Guest.Kernel), ("hal", X86Guest.Hal), ("disk", X86Guest.Driver)]), name);
            Assert.True(verdict.Complaints.Count == 0, string.Join('\n', verdict.Complaints) + name);
            for (var processor = 0; processor < 2; processor++)
                Assert.True(verdict.Registers[processor]["eip"] == X86Guest.Kernel + 0x3000 + (uint)processor && verdict.Registers[processor]["eax"] == 0xC0 + (uint)processor, name);
        }
    }

    [Fact]
    public void ARealHeaderIsRead()
    {
        var path = RealData.PathOf("dumps/full-header-win7-7601-x86.bin");
        var report = DumpChecker.Check(path, null, Ct);
        Assert.Equal("0x1db1", report.Fields.Single(field => field.Name == "MinorVersion").Value);
        Assert.Equal("0xbf62f2e0", report.Fields.Single(field => field.Name == "DirectoryTableBase").Value);
        Assert.Equal("1", report.Fields.Single(field => field.Name == "PaeEnabled").Value);
        Assert.Null(report.Fields.Single(field => field.Name == "KdDebuggerDataBlock").Value);
        Assert.Equal(2, report.Runs.Count);
    }

    [Fact]
    public void SpoiltDumpsAreJudgedAllTheSame()
    {
        X86Files.WriteCrashDump(new X86Guest(X86Build.Seven, pae: true), _folder["good.dmp"]);
        var good = File.ReadAllBytes(_folder["good.dmp"]);
        var rounds = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_FUZZ_ROUNDS"), out var more) ? more : 40;
        Bounded.Survives(good[..0x1000], 7, rounds, header =>
        {
            var file = (byte[])good.Clone();
            header.AsSpan(0, Math.Min(header.Length, 0x1000)).CopyTo(file);
            File.WriteAllBytes(_folder["spoilt.dmp"], file);
            try
            {
                Check("spoilt.dmp");
            }
            catch (ImageFormatException)
            {
                // No crash dump any more.
            }
        });
    }

    private CheckReport Check(string name) => DumpChecker.Check(_folder[name], (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), Ct);

    private string Convert(X86Guest guest, DumpKind kind = DumpKind.Full)
    {
        var (elf, path) = (_folder["guest.elf"], _folder[$"{guest.Build.Build}-{guest.Pae}-{kind}.dmp"]);
        X86Files.WriteElf(guest, elf);
        using var view = ImageReader.Open(elf, cancellation: Ct);
        var plan = X86DumpPlan.For(WindowsSystem.Find(view, ProfileStore.Carried, Ct).X86!, new DumpOptions { Kind = kind });
        Assert.Equal([0, 1], plan.Processors.Select(processor => processor.CpuIndex ?? -1));
        Assert.Equal(guest.Build.Build > 9000, plan.Gaps.Any());
        DumpWriter.Write(plan, path, null, Ct);
        return path;
    }
}
