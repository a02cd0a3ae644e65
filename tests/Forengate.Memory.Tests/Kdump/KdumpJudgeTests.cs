using System.Diagnostics;
using Forengate.Memory.Tests.Qemu;

namespace Forengate.Memory.Tests.Kdump;

/// <summary>Others read what we and our test builder write, and what they and we make of the same file is the same: libkdumpfile for pages and registers, makedumpfile for the flattened form.</summary>
public sealed class KdumpJudgeTests
{
    [Theory, InlineData("kdump-zlib"), InlineData("kdump-zstd")]
    public void Libkdumpfile_reads_every_page_and_register_that_we_write(string name)
    {
        using var source = KdumpSource.View();
        using var file = new TemporaryFile(".kdump");
        KdumpWriterTests.Write(source, name, file.Path, flattened: false);
        using var judge = new Kdumpfile(file.Path);
        Assert.Equal("Compressed KDUMP", judge.Text("file.description"));
        Assert.Equal(source.Memory.End.Frame, judge["max_pfn"]);
        Assert.Equal(Page.Size, (int)judge["arch.page_size"]);
        AssertSamePages(source.Memory, judge);
        for (var i = 0; i < source.Cpus.Count; i++)
        {
            var cpu = source.Cpus[i];
            (string Name, ulong? Value)[] registers =
            [
                ("rax", cpu.Rax), ("rbx", cpu.Rbx), ("rcx", cpu.Rcx), ("rdx", cpu.Rdx), ("rsi", cpu.Rsi), ("rdi", cpu.Rdi), ("rbp", cpu.Rbp), ("rsp", cpu.Rsp), ("r8", cpu.R8), ("r15", cpu.R15),
                ("rip", cpu.Rip), ("rflags", cpu.Rflags), ("cs", cpu.Cs?.Selector), ("fs_base", cpu.Fs?.Base), ("gs_base", cpu.Gs?.Base),
            ];
            foreach (var (register, value) in registers)
                Assert.Equal((register, value!.Value), (register, judge[$"cpu.{i}.reg.{register}"]));
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Libkdumpfile_and_we_read_the_same_in_what_the_builder_lays_out(bool is64)
    {
        var builder = KdumpTests.Sample(is64);
        builder.Notes = [];
        using var file = new TemporaryFile(builder.Build(), ".kdump");
        using var view = ImageReader.Open(file.Path);
        using var judge = new Kdumpfile(file.Path, is64 ? "x86_64" : "ia32");
        AssertSamePages(view.Memory, judge);
        Assert.Equal(is64 ? 8UL : 4, judge["arch.ptr_size"]);
    }

    [Fact]
    public void Makedumpfile_makes_of_our_flattened_form_the_plain_one_that_we_write()
    {
        using var source = KdumpSource.View();
        using var plain = new TemporaryFile(".kdump");
        using var flat = new TemporaryFile(".flat");
        using var back = new TemporaryFile(".kdump");
        KdumpWriterTests.Write(source, "kdump-zlib", plain.Path, flattened: false);
        KdumpWriterTests.Write(source, "kdump-zlib", flat.Path, flattened: true);
        Rearrange(flat.Path, back.Path);
        Assert.Equal(File.ReadAllBytes(plain.Path), File.ReadAllBytes(back.Path));
    }

    [Fact]
    public void The_flattened_form_of_QEMU_reads_as_what_makedumpfile_makes_of_it_and_as_libkdumpfile_sees_that()
    {
        using var qemu = QemuElfCoreTests.StartLongMode();
        var flat = QemuKdumpTests.Dump(qemu);
        using var back = new TemporaryFile(".kdump");
        Rearrange(flat, back.Path);
        using var ours = ImageReader.Open(flat);
        using var plain = ImageReader.Open(back.Path);
        Assert.Equal("kdump-compressed (version 6)", plain.Origin.Format);
        Assert.Equal(ours.Cpus, plain.Cpus);
        MemoryEquality.Assert(ours.Memory, plain.Memory);
        using var judge = new Kdumpfile(back.Path);
        AssertSamePages(plain.Memory, judge);
        Assert.Equal(0xFFFFF80112345678UL, judge["cpu.0.reg.rsp"]);
    }

    private static void AssertSamePages(PhysicalMemory memory, Kdumpfile judge)
    {
        var (ours, theirs) = (new byte[Page.Size], new byte[Page.Size]);
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                var there = memory.Read(at, ours) == Page.Size;
                Assert.Equal((at, there), (at, judge.TryReadPage(at.Frame, theirs)));
                if (there)
                    Assert.True(ours.AsSpan().SequenceEqual(theirs), $"the page at {at} differs");
            }
        }
        Assert.False(judge.TryReadPage(memory.Ranges[0].End.Frame, theirs));
    }

    /// <summary>makedumpfile -R: the flattened form on its input, the plain one as a file.</summary>
    private static void Rearrange(string flat, string plain)
    {
        if (!File.Exists("/usr/bin/makedumpfile"))
            Assert.Skip("makedumpfile is not installed: eng/setup formats");
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "exec /usr/bin/makedumpfile -R \"$1\" < \"$0\" > /dev/null", flat, plain]))!;
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
