using System.Text.Json;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Referee;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Dumps without the user pages of named processes: what only they map is overwritten, every other byte is the guest's.</summary>
public sealed class ExcludeTests
{
    private static readonly DumpOptions s_full = new();

    [Theory]
    [InlineData("7601", DumpKind.Full)]
    [InlineData("17763", DumpKind.Bitmap)]
    [InlineData("19041", DumpKind.Full)]
    [InlineData("22000", DumpKind.Active)]
    public void OnlyPagesOfTheNamedAreOverwritten(string build, DumpKind kind)
    {
        using var twin = new Twin("--build", build, "--memory", "128", "--drivers", "8", "--processes", "30", "--cpus", "2", "--cpu-modes", "kernel");
        using var view = twin.OpenView();
        var system = Twin.Find(view);
        var processes = Processes(twin.Truth).ToList();
        // One by its PID, the others by a name that several may have.
        var byPid = processes.First(process => process.Name != processes[^1].Name);
        var options = new DumpOptions { Kind = kind, Comment = new string('c', 200), Exclude = [$"{byPid.Pid}", processes[^1].Name.ToUpperInvariant()] };
        var chosen = processes.Where(process => process.Pid == byPid.Pid || process.Name == processes[^1].Name).ToList();
        var path = twin["exclude.dmp"];
        var result = DumpWriter.Write(DumpPlan.For(system, options, TestContext.Current.CancellationToken), path, null, TestContext.Current.CancellationToken);

        // Who maps which page, by a walk of other code than the one that chooses.
        var own = chosen.SelectMany(process => UserPages(view.Memory, process.Dtb)).ToHashSet();
        own.ExceptWith(Processes(twin.Truth, all: true).Where(process => chosen.All(one => one.Pid != process.Pid)).SelectMany(process => UserPages(view.Memory, process.Dtb)).ToHashSet());
        own.ExceptWith(new WindowsAddressSpace(view.Memory, system.SystemDirectoryTableBase).Mappings(new(0xFFFF8000_00000000), new(ulong.MaxValue))
            .SelectMany(mapping => Enumerable.Range(0, (int)(mapping.Size >> Page.Shift)).Select(i => mapping.Physical.Frame + (ulong)i)));
        Assert.NotEmpty(own);
        Assert.Equal(chosen.Select(process => (ulong)process.Pid).Order(), result.Plan.Excluded.Select(process => process.Id).Order());
        Assert.InRange(result.Plan.ExcludedPages, (ulong)own.Count, (ulong)own.Count + (ulong)chosen.Count * 2);

        var plain = DumpPlan.For(system, s_full with { Kind = kind }, TestContext.Current.CancellationToken);
        Assert.Equal(plain.Stored, result.Plan.Stored);
        using (var dump = ImageReader.Open(path))
        {
            byte[] a = new byte[Page.Size], b = new byte[Page.Size];
            var overwritten = 0UL;
            foreach (var frame in plain.Stored.SelectMany(run => Enumerable.Range(0, (int)run.PageCount).Select(i => run.BasePage + (ulong)i)))
            {
                Assert.True(plain.Memory.TryRead(PhysicalAddress.FromFrame(frame), a) && dump.Memory.TryRead(PhysicalAddress.FromFrame(frame), b));
                if (b.AsSpan().StartsWith("excluded content"u8) && b.AsSpan(Page.Size - 16).SequenceEqual("excluded content"u8))
                    overwritten++;
                else
                    Assert.True(a.AsSpan().SequenceEqual(b) && !own.Contains(frame), $"page 0x{frame:x}");
            }
            Assert.Equal(result.Plan.ExcludedPages, overwritten);
        }
        using (var image = CrashDumpImage.Open(path))
        {
            Assert.StartsWith("ccc", image.Header64.Comment, StringComparison.Ordinal);
            Assert.EndsWith($"{result.Plan.ExcludedPages} pages", image.Header64.Comment, StringComparison.Ordinal);
            Assert.Contains("; excluded: ", image.Header64.Comment, StringComparison.Ordinal);
        }
        using var stream = new MemoryStream();
        DumpWriter.Write(result.Plan, stream, "-", null, TestContext.Current.CancellationToken);
        Assert.True(File.ReadAllBytes(path).AsSpan().SequenceEqual(stream.ToArray()));
        var report = DumpChecker.Check(path, (dump, ct) => WindowsSystem.Find(dump, ProfileStore.Carried, ct), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(report.Findings, finding => finding.Severity != CheckSeverity.Note);

        DebuggerEngine.SkipUnlessAccepted();
        Assert.Empty(DebuggerEngine.Judge(path).Complaints);
    }

    [Fact]
    public void WhatIsNoProcessIsRefused()
    {
        using var twin = new Twin("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4");
        using var view = twin.OpenView();
        var system = Twin.Find(view);
        foreach (var name in (string[])["nobody.exe", "99999999"])
            Assert.Contains($"'{name}'", Assert.Throws<DumpWriteException>(() => DumpPlan.For(system, new DumpOptions { Exclude = [name] }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        foreach (var kind in (DumpKind[])[DumpKind.Kernel, DumpKind.Small])
            Assert.Contains("no user pages", Assert.Throws<DumpWriteException>(() => DumpPlan.For(system, new DumpOptions { Kind = kind, Exclude = ["4"] }, TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    private static IEnumerable<(uint Pid, string Name, ulong Dtb)> Processes(JsonElement truth, bool all = false) =>
        truth.GetProperty("processes").EnumerateArray()
            .Where(process => process.GetProperty("listed").GetBoolean() && (all || (process.GetProperty("pid").GetUInt32() > 4 && process.GetProperty("state").GetString() == "running" && Twin.Number(process.GetProperty("peb")) != 0)))
            .Select(process => (process.GetProperty("pid").GetUInt32(), process.GetProperty("name").GetString()!, Twin.Number(process.GetProperty("dtb"))));

    private static IEnumerable<ulong> UserPages(PhysicalMemory memory, ulong table) =>
        new WindowsAddressSpace(memory, table).Mappings(new(0), new(0x7FFF_FFFFFFFF)).SelectMany(mapping => Enumerable.Range(0, (int)(mapping.Size >> Page.Shift)).Select(i => mapping.Physical.Frame + (ulong)i));
}
