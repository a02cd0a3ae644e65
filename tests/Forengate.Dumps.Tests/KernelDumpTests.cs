using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Testing.Referee;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>Kernel dumps: every page that the twin's record (<c>pfn.bin</c>) has as the kernel's is there, and none that only user space leads to.</summary>
public sealed class KernelDumpTests
{
    private const byte Standby = 2, Bad = 5, Active = 6, LocationMask = 7, User = 0x08, Table = 0x10, Unmapped = 0x40, NoPage = 0xFF;

    public static TheoryData<string, string[]> Twins => new()
    {
        { "7601", ["--cpus", "2", "--cpu-modes", "kernel"] },
        { "9600", ["--cpus", "2", "--cpu-modes", "kernel", "--bugcheck", "d1,8,2,1,fffff80012345678"] },
        { "14393", ["--cpus", "1", "--cpu-modes", "user", "--kva", "off"] },
        { "17763", ["--cpus", "4", "--cpu-modes", "entry", "--kva", "on", "--standby", "3000"] },
        { "19041", ["--cpus", "4", "--cpu-modes", "mixed", "--kdbg", "encoded"] },
        { "20348", ["--cpus", "3", "--cpu-modes", "user", "--memory", "192", "--low-memory", "128"] },
        { "22000", ["--cpus", "2", "--cpu-modes", "mixed", "--modified", "2000", "--free", "0"] },
    };

    [Theory]
    [MemberData(nameof(Twins))]
    public void ItHasWhatTheKernelMapsAndNothingOfUsers(string build, string[] options)
    {
        using var twin = new Twin(["--build", build, "--memory", "128", "--drivers", "12", "--processes", "30", .. options]);
        var states = File.ReadAllBytes(twin["twin/pfn.bin"]);
        var path = twin["kernel.dmp"];
        DumpResult result;
        using (var view = twin.OpenView())
        {
            result = DumpWriter.Write(DumpPlan.For(Twin.Find(view), new DumpOptions { Kind = DumpKind.Kernel }, TestContext.Current.CancellationToken), path, null, TestContext.Current.CancellationToken);
            Assert.True(result.IsComplete, string.Join('\n', result.Plan.Gaps));
            PagesAreTheKernels(view.Memory, states, result, TablesOfTheUnlisted(view.Memory, twin));
        }
        using (var image = CrashDumpImage.Open(path))
            Assert.Equal((CrashDumpType.BitmapKernel, CrashDumpAttributes.None), (image.Header64.DumpType, image.Header64.Attributes));
        using (var view = ImageReader.Open(path))
        {
            Assert.Empty(view.Origin.Damage);
            var system = Twin.Find(view);
            Assert.Equal(
                twin.Truth.GetProperty("processes").EnumerateArray().Where(process => process.GetProperty("listed").GetBoolean()).Select(process => process.GetProperty("pid").GetUInt64()).Order(),
                ProcessList.Walk(system, TestContext.Current.CancellationToken).Items.Select(process => process.Id).Order());
        }
        var report = DumpChecker.Check(path, (view, ct) => WindowsSystem.Find(view, ProfileStore.Carried, ct), TestContext.Current.CancellationToken);
        Assert.DoesNotContain(report.Findings, finding => finding.Severity != CheckSeverity.Note);

        DebuggerEngine.SkipUnlessAccepted();
        var verdict = DebuggerEngine.Judge(path);
        Assert.Empty(verdict.Complaints);
        Assert.Contains("Kernel Bitmap Dump File: Kernel address space is available", verdict.Opening, StringComparison.Ordinal);
        Assert.Equal(twin.Truth.GetProperty("drivers").EnumerateArray().Count(driver => !driver.GetProperty("hidden").GetBoolean()), verdict.Modules.Count);
        Assert.Equal(twin.Truth.GetProperty("cpus").GetArrayLength(), verdict.Registers.Count);
    }

    private static void PagesAreTheKernels(PhysicalMemory memory, byte[] states, DumpResult result, HashSet<ulong> tablesOfTheUnlisted)
    {
        var stored = result.Plan.Stored.SelectMany(run => Enumerable.Range((int)run.BasePage, (int)run.PageCount)).ToHashSet();
        var (kept, left) = (0, 0UL);
        for (var frame = 0; frame < states.Length; frame++)
        {
            var state = states[frame];
            if (state == NoPage)
                continue;
            var location = state & LocationMask;
            // KVA shadow's own tables and what no table leads to: not the kernel's by what the twin records, in the dump where a user table of a process leads to them.
            var isOpen = (state & Unmapped) != 0;
            var isKernels = location switch
            {
                Active => (state & User) == 0 || (state & Table) != 0,
                < Standby or Bad => false,
                // In no working set: the kernel's if an entry of the kernel's page tables leads there, and not only one of a file's.
                _ => (state & User) == 0 && !IsOfAFile(memory, frame),
            };
            // The twin's spare processes have tables already, and are in no list: nothing leads to those.
            isOpen |= (state & Table) != 0 && tablesOfTheUnlisted.Contains((ulong)frame);
            if (!isOpen)
                Assert.True(stored.Contains(frame) == isKernels, $"page 0x{frame:x}, which the twin has as 0x{state:x2}");
            if (stored.Contains(frame))
                kept++;
            else
                left++;
        }
        Assert.True(kept > 0);
        Assert.Equal([new LeftOutPages("user or unused", left)], result.Plan.LeftOut);
    }

    /// <summary>The lab begins such pages with what they are (docs/lab.md).</summary>
    private static bool IsOfAFile(PhysicalMemory memory, int frame)
    {
        var mark = new byte[5];
        return memory.TryRead(PhysicalAddress.FromFrame((ulong)frame), mark) && mark.AsSpan().SequenceEqual("twin:"u8);
    }

    /// <summary>Tables of the user halves of processes that are not listed.</summary>
    private static HashSet<ulong> TablesOfTheUnlisted(PhysicalMemory memory, Twin twin)
    {
        const int Levels = 4;
        var tables = new HashSet<ulong>();
        foreach (var process in twin.Truth.GetProperty("processes").EnumerateArray().Where(process => !process.GetProperty("listed").GetBoolean()))
        {
            foreach (var name in (string[])["dtb", "userDtb"])
                Walk(Twin.Number(process.GetProperty(name)) >> Page.Shift, Levels, PageTableEntry.Count / 2);
        }
        return tables;

        void Walk(ulong frame, int level, int entries)
        {
            if (frame == 0 || level == 0 || !tables.Add(frame))
                return;
            for (var slot = 0; slot < entries; slot++)
            {
                if (memory.TryRead(PhysicalAddress.FromFrame(frame) + (ulong)(slot * sizeof(ulong)), out ulong entry) && (entry & (PageTableEntry.Present | PageTableEntry.LargePage)) == PageTableEntry.Present)
                    Walk((entry & PageTableEntry.AddressMask) >> Page.Shift, level - 1, PageTableEntry.Count);
            }
        }
    }
}
