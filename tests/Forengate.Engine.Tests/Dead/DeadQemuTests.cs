using System.Diagnostics;
using System.Globalization;
using Forengate.Dumps;
using Forengate.Engine.Tests.Families;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Dead;

/// <summary>
/// A QEMU that answers no more: its process is stopped by a signal, so that its monitor is silent, and read by number; then gdb's gcore writes its core. Both must show the memory that
/// QEMU's own pmemsave gave before, and the twin's processes and drivers.
/// </summary>
public sealed class DeadQemuTests
{
    [Theory]
    [InlineData(RamBackend.Anonymous, 1)]
    [InlineData(RamBackend.Anonymous, 2)]
    [InlineData(RamBackend.Memfd, 1)]
    [InlineData(RamBackend.File, 2)]
    public void A_guest_is_seen_without_its_QEMU_saying_a_word(RamBackend backend, int nodes)
    {
        var folder = TwinFolders.New();
        string In(string name) => Path.Combine(folder, name);
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--cpus", "2", "--memory", "128"), new MachineOptions { Backend = backend, NumaNodes = nodes });
        twin.StopAndReadRegisters();
        using (var monitor = twin.Machine.OpenMonitor())
            monitor.Hmp($"pmemsave 0 {twin.Truth.Memory.Size} \"{In("memory.raw")}\"");
        var differences = new Differences();
        var id = twin.Machine.Pid;
        Run("kill", "-STOP", id);
        try
        {
            WaitUntilStopped(id);
            Dump($"pid:{id}", In("pid.dmp"));
            Look(differences, $"pid:{id}", In("memory.raw"), twin.Truth);
        }
        finally
        {
            Run("kill", "-CONT", id);
        }
        // gcore keeps shared memory only where the process asks for it.
        File.WriteAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/coredump_filter"), "0x3f");
        Run("gcore", "-o", In("core"), id);
        var core = string.Create(CultureInfo.InvariantCulture, $"{In("core")}.{id}");
        Look(differences, core, In("memory.raw"), twin.Truth);
        Dump(core, In("core.dmp"));
        differences.AssertNone();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>The signal reaches a process's threads one by one.</summary>
    private static void WaitUntilStopped(int id)
    {
        for (var patience = 0; patience < 500; patience++)
        {
            if (Directory.EnumerateDirectories($"/proc/{id}/task").All(task => File.ReadAllText(Path.Combine(task, "stat")) is var stat && stat[stat.LastIndexOf(')') + 2] == 'T'))
                return;
            Thread.Sleep(10);
        }
        Assert.Fail("QEMU did not stop");
    }

    private static void Dump(string target, string path)
    {
        DumpJob.Run(target, path, new TargetOptions(), new DumpOptions(), null, TestContext.Current.CancellationToken);
        Assert.DoesNotContain(DumpCheck.Of(path, TestContext.Current.CancellationToken).Findings, finding => finding.Severity == CheckSeverity.Error);
    }

    private static void Look(Differences differences, string target, string raw, TwinTruth truth)
    {
        using var memory = MappedFile.Open(raw);
        using var examination = Examination.Open(target, new TargetOptions(), null, TestContext.Current.CancellationToken);
        differences.Expect($"{target}, consistency", ConsistencyLevel.MemoryOnly, examination.View.Consistency.Level);
        differences.Expect($"{target}, memory", truth.Memory.Size, examination.View.Memory.Size);
        differences.None($"{target}, damage", examination.Damage);
        var page = new byte[Page.Size];
        foreach (var run in truth.Memory.Runs)
        {
            for (var at = run.FirstPage << Page.Shift; at < (run.FirstPage + run.Pages) << Page.Shift; at += Page.Size)
            {
                if (at is < 0xA_0000 or >= 0x10_0000)
                    differences.Require($"{target}, page 0x{at:x}", examination.View.Memory.Read(new PhysicalAddress(at), page) == Page.Size && memory.Span((long)at, Page.Size).SequenceEqual(page));
            }
        }
        TruthCheck.Kernel(differences, truth, examination.Windows.System!);
        TruthCheck.Lists(differences, truth, examination, target);
    }

    private static void Run(string program, params object[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments.Select(argument => Convert.ToString(argument, CultureInfo.InvariantCulture)!)) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var said = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program}: {errors} {said.Result}");
    }
}
