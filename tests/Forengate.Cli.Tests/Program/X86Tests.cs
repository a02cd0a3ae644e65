using Forengate.Testing.X86;

namespace Forengate.Cli.Tests.Program;

/// <summary>32-bit Windows as users meet it: every command on an ELF core of a guest laid out by hand.</summary>
public sealed class X86Tests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("forengate-x86-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Every_command_takes_a_32_bit_guest()
    {
        X86Files.WriteElf(new X86Guest(X86Build.Seven, pae: true), In("guest.elf"));
        var windows = ForengateProgram.Run("info", In("guest.elf"), "-o", "json").Done().Json.GetProperty("windows");
        Assert.Equal((32, true, "6.1.7601", "6.1.7601.17514"), (windows.GetProperty("bits").GetInt32(), windows.GetProperty("pae").GetBoolean(), windows.GetProperty("version").GetString(), windows.GetProperty("layout").GetString()));
        Assert.Equal($"0x{X86Guest.Kernel:x}", windows.GetProperty("kernelBase").GetString());
        Assert.Equal(2, windows.GetProperty("processors").GetArrayLength());

        var dump = ForengateProgram.Run("dump", In("guest.elf"), In("guest.dmp")).Done();
        Assert.Contains("Windows 6.1.7601", dump.Output, StringComparison.Ordinal);
        Assert.Contains("2 processors, 2 with their registers", dump.Output, StringComparison.Ordinal);
        ForengateProgram.Run("check", In("guest.dmp")).Done();
        foreach (var file in new[] { "guest.elf", "guest.dmp" })
        {
            var processes = ForengateProgram.Run("processes", In(file), "-o", "csv").Done().Output;
            Assert.Contains("a long name of a process.exe", processes, StringComparison.Ordinal);
            Assert.Contains("System", processes, StringComparison.Ordinal);
            Assert.Contains("disk.sys", ForengateProgram.Run("drivers", In(file), "-o", "csv").Done().Output, StringComparison.Ordinal);
            Assert.Contains("a long name of a process.exe", ForengateProgram.Run("processes", In(file), "--scan", "-o", "csv").Done().Output, StringComparison.Ordinal);
            Assert.Contains("disk.sys", ForengateProgram.Run("drivers", In(file), "--scan", "-o", "csv").Done().Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_is_not_done_for_them_is_said_in_a_line()
    {
        var guest = new X86Guest(X86Build.Ten, pae: false);
        X86Files.WriteElf(guest, In("guest.elf"));
        var kernel = ForengateProgram.Run("dump", In("guest.elf"), In("guest.dmp"), "--type", "kernel");
        Assert.NotEqual(0, kernel.ExitCode);
        Assert.Contains("only complete and bitmap ones", kernel.Errors, StringComparison.Ordinal);
        Assert.False(File.Exists(In("guest.dmp")));

        // Another build's number over the same memory: no layout fits, and that is said.
        guest.Put32(X86Guest.BuildNumber, 0xF000_0000 | 7601);
        X86Files.WriteElf(guest, In("other.elf"));
        var declined = ForengateProgram.Run("processes", In("other.elf"));
        Assert.NotEqual(0, declined.ExitCode);
        Assert.Contains("does not fit this memory", declined.Reason, StringComparison.Ordinal);
    }

    private string In(string name) => Path.Combine(folder, name);
}
