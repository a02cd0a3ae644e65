using Forengate.Dumps;
using Forengate.Memory;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Formats;

/// <summary><c>convert --format dmp-bitmap|dmp-active|dmp-kernel|dmp-small</c>, from an ELF core of QEMU's and from the complete dump of it: the kind asked for, the pages of that kind, the source's bytes.</summary>
public sealed class ConvertKindsTests
{
    /// <summary>A page's state in <c>pfn.bin</c>: list in the low bits, who maps it above.</summary>
    private const byte LocationMask = 7, Standby = 2, Active = 6, User = 0x08, Unmapped = 0x40, Table = 0x10, NoPage = 0xFF;

    /// <summary>KDBG, and of each of two processors CONTEXT and special registers, each perhaps over two pages.</summary>
    private const int MostPatchedPages = 12;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public void Every_kind_of_dump_is_made_of_a_core_and_of_a_complete_dump()
    {
        var image = TwinImages.Get("--build", "19041", "--cpus", "2", "--cpu-modes", "kernel", "--memory", "128", "--processes", "20");
        var states = File.ReadAllBytes(Path.Combine(image, "pfn.bin"));
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        TwinTruth truth;
        using (var twin = TwinGuest.Start(image))
        {
            _ = twin.StopAndReadRegisters();
            truth = twin.Truth;
            twin.DumpByQemu(In("elf"), "elf");
        }
        var differences = new Differences();
        Assert.Equal("dmp", Convert("elf", "dmp", "full").Format);
        foreach (var source in new[] { "elf", "full" })
        {
            foreach (var (format, kind) in new[]
                { ("dmp-bitmap", "64-bit full bitmap dump"), ("dmp-active", "64-bit active memory dump"), ("dmp-kernel", "64-bit kernel bitmap dump"), ("dmp-small", "64-bit small dump") })
            {
                var name = $"{source}-{format}";
                var made = Convert(source, format, name);
                differences.Expect($"{name}, format", format, made.Format);
                differences.Expect($"{name}, bytes", (ulong)new FileInfo(In(name)).Length, made.Bytes);
                differences.None($"{name}, incomplete", made.Incomplete);
                var report = DumpCheck.Of(In(name), Ct);
                differences.Expect($"{name}, kind", kind, report.Kind);
                differences.None($"{name}, check", report.Findings.Where(finding => finding.Severity != CheckSeverity.Note).Select(finding => finding.Text));
                differences.Expect($"{name}, modules", truth.Drivers.Count(driver => !driver.Hidden), report.Modules);
                if (format == "dmp-small")
                    continue;
                differences.Expect($"{name}, says what it leaves out", format != "dmp-bitmap", made.Lost.Count != 0);
                Pages(differences, name, format, made.Pages, states, In("elf"), In(name));
                if (DebuggerEngine.Accepted)
                    differences.Require($"{name}, engine", DebuggerEngine.Judge(In(name)) is { Opened: true, Complaints.Count: 0, Registers.Count: 2 }, "not opened as the guest");
            }
        }

        // From the core and from the dump of it the same pages.
        foreach (var format in new[] { "dmp-bitmap", "dmp-active", "dmp-kernel" })
            differences.Require($"{format}, the same from both", SameMemory(In($"elf-{format}"), In($"full-{format}")), "other pages or bytes");
        Directory.Delete(folder, recursive: true);
        differences.AssertNone();
        DebuggerEngine.SkipUnlessAccepted();

        ConvertOutcome Convert(string from, string format, string to) => ConvertJob.Run(In(from), In(to), ConvertFormat.ByName(format)!, new TargetOptions(), null, Ct);
    }

    private static void Pages(Differences differences, string name, string format, ulong counted, byte[] states, string source, string made)
    {
        using var original = ImageReader.Open(source, cancellation: Ct);
        using var dump = ImageReader.Open(made, cancellation: Ct);
        byte[] a = new byte[Page.Size], b = new byte[Page.Size];
        var (present, wrong, changed) = (0UL, 0, 0);
        for (var frame = 0; frame < states.Length; frame++)
        {
            var at = PhysicalAddress.FromFrame((ulong)frame);
            var there = dump.Memory.TryRead(at, b);
            if (there)
            {
                present++;
                if (!original.Memory.TryRead(at, a) || !a.AsSpan().SequenceEqual(b))
                    changed++;
            }
            var (state, location) = (states[frame], states[frame] & LocationMask);
            bool? wanted = state == NoPage ? false : format switch
            {
                "dmp-bitmap" => true,
                "dmp-active" => location > Standby,

                // What no table leads to, or lies in transition, may be the kernel's or not: KernelDumpTests looks closer.
                _ => location != Active || (state & (Unmapped | Table)) != 0 ? null : (state & User) == 0,
            };
            if (wanted is { } so && so != there)
                wrong++;
        }
        differences.Expect($"{name}, wrong pages", 0, wrong);
        differences.Expect($"{name}, pages", counted, present);
        differences.Require($"{name}, changed pages", changed <= MostPatchedPages, $"{changed} differ from the source's");
    }

    private static bool SameMemory(string one, string other)
    {
        using var first = ImageReader.Open(one, cancellation: Ct);
        using var second = ImageReader.Open(other, cancellation: Ct);
        byte[] a = new byte[Page.Size], b = new byte[Page.Size];
        if (!first.Memory.Ranges.SequenceEqual(second.Memory.Ranges))
            return false;
        foreach (var range in first.Memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                var (left, right) = (first.Memory.TryRead(at, a), second.Memory.TryRead(at, b));
                if (left != right || (left && !a.AsSpan().SequenceEqual(b)))
                    return false;
            }
        }
        return true;
    }
}
