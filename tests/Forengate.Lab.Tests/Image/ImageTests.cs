using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;
using Forengate.Lab.Truth;

namespace Forengate.Lab.Tests.Image;

public sealed class ImageTests
{
    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Every_sampled_address_translates_as_the_truth_says(string build) => CheckTranslations(Twins.Small(build) with { CpuCount = 3, CpuModes = CpuModes.Mixed });

    [Theory]
    [InlineData("20348", true)]
    [InlineData("22000", false)]
    public void With_five_levels_too(string build, bool kvaShadow)
    {
        var options = Twins.Small(build) with { CpuCount = 3, CpuModes = CpuModes.Mixed, Levels = 5, KvaShadow = kvaShadow };
        CheckTranslations(options);
        var (image, truth) = Twins.Make(options);
        var walker = new Walker(image.Plan);
        Assert.Equal(5, truth.Paging.Levels);
        Assert.Equal("ntkrla57.pdb", truth.Build.PdbName);
        Assert.All(truth.Cpus, c => Assert.Equal(1UL << 12, c.Registers.Cr4.Value & 1 << 12));
        var index = (ulong)truth.Paging.SelfMapIndex;
        Assert.InRange(index, 0x100UL, 0x1FEUL);
        Assert.Equal(0xFE000000_00000000 | index << 48, truth.Paging.PteBase.Value);
        var top = truth.Paging.PteBase.Value | index << 39 | index << 30 | index << 21 | index << 12;
        Assert.Equal(truth.Paging.SystemPml4.Value, walker.Walk(truth.Paging.SystemDtb.Value, top));
        // KDDEBUGGER_DATA64 +0x36, bits 2 to 5: PagingLevels.
        Assert.Equal(5, Convert.FromHexString(truth.Kdbg.Decoded)[0x36] >> 2);
        Assert.Equal(truth.Processes.Where(p => p.Listed).Select(p => p.Eprocess.Value + (ulong)image.Tables.OffsetOf("_EPROCESS", "ActiveProcessLinks")),
            walker.List(truth.Paging.SystemDtb.Value, truth.Global("PsActiveProcessHead").Va.Value));
    }

    [Fact]
    public void Five_levels_are_refused_for_kernels_that_had_none()
    {
        var error = Assert.Throws<ImageException>(() => Twins.Make(Twins.Small("19041") with { Levels = 5 }));
        Assert.Contains("20348", error.Message);
    }

    private static void CheckTranslations(TwinOptions options)
    {
        var (image, truth) = Twins.Make(options);
        var walker = new Walker(image.Plan);
        Assert.True(truth.Translations.Count > 1500);
        Assert.Contains(truth.Translations, t => t.Pa is null);
        Assert.Contains(truth.Translations, t => t.PageSize == new Hex(0x200000));
        foreach (var sample in truth.Translations)
            Assert.Equal(sample.Pa?.Value, walker.Walk(sample.Root.Value, sample.Va.Value));
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void The_self_map_shows_the_top_level_table(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build));
        var index = (ulong)truth.Paging.SelfMapIndex;
        var va = 0xFFFF0000_00000000 | index << 39 | index << 30 | index << 21 | index << 12;
        Assert.Equal(truth.Paging.SystemPml4.Value, new Walker(image.Plan).Walk(truth.Paging.SystemDtb.Value, va));
        if (build is "7601" or "9600")
            Assert.Equal(0x1EDUL, index);
        else
            Assert.Equal(truth.Paging.PteBase, truth.Global("MmPteBase").Value);
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Lists_close_and_hold_what_the_truth_lists(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build));
        var walker = new Walker(image.Plan);
        var cr3 = truth.Paging.SystemDtb.Value;
        var tables = image.Tables;
        var links = (ulong)tables.OffsetOf("_EPROCESS", "ActiveProcessLinks");
        var listed = truth.Processes.Where(p => p.Listed).ToArray();
        Assert.Equal(listed.Select(p => p.Eprocess.Value), walker.List(cr3, truth.Global("PsActiveProcessHead").Va.Value).Select(e => e - links));
        Assert.Equal(truth.Options.Processes, listed.Length);
        Assert.Equal(truth.Drivers.Where(d => !d.Hidden).Select(d => d.EntryVa.Value), walker.List(cr3, truth.Global("PsLoadedModuleList").Va.Value));
        foreach (var process in truth.Processes.Where(p => p.State != "exited"))
        {
            foreach (var (head, entry) in new[] { ("Pcb.ThreadListHead", "Tcb.ThreadListEntry"), ("ThreadListHead", "ThreadListEntry") })
            {
                var threads = walker.List(cr3, process.Eprocess.Value + (ulong)tables.OffsetOf("_EPROCESS", head));
                Assert.Equal(process.Threads.Select(t => t.Ethread.Value), threads.Select(t => t - (ulong)tables.OffsetOf("_ETHREAD", entry)));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Processes_share_the_kernel_and_keep_their_own_half(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build));
        var walker = new Walker(image.Plan);
        var name = (ulong)image.Tables.OffsetOf("_EPROCESS", "ImageFileName");
        foreach (var process in truth.Processes.Where(p => p.Pid != 0))
        {
            var expected = new byte[15];
            Encoding.ASCII.GetBytes(process.ShortName).CopyTo(expected, 0);
            Assert.Equal(expected, walker.Read(process.Dtb.Value, process.Eprocess.Value + name, 15));
            Assert.Equal(process.EprocessPa.Value, walker.Walk(process.Dtb.Value, process.Eprocess.Value));
            if (process.Peb.Value == 0)
                continue;
            var parameters = walker.U64(process.Dtb.Value, process.Peb.Value + 0x20);
            // _RTL_USER_PROCESS_PARAMETERS.CommandLine lies at 0x70 on every 64-bit Windows.
            var length = walker.Read(process.Dtb.Value, parameters + 0x70, 2);
            var text = walker.Read(process.Dtb.Value, walker.U64(process.Dtb.Value, parameters + 0x78), length[0] | length[1] << 8);
            Assert.Equal(process.CommandLine, Encoding.Unicode.GetString(text));
        }
    }

    [Theory]
    [InlineData("7601")]
    [InlineData("17763")]
    [InlineData("22000")]
    public void User_tables_map_only_what_windows_shadows(string build)
    {
        var (image, truth) = Twins.Make(Twins.Small(build) with { CpuCount = 2, CpuModes = CpuModes.User });
        var walker = new Walker(image.Plan);
        foreach (var process in truth.Processes.Where(p => p.Peb.Value != 0))
        {
            Assert.Equal(2UL, process.Dtb.Value & 0xFFF);
            Assert.Equal(1UL, process.UserDtb.Value & 0xFFF);
            ulong? User(ulong va) => walker.Walk(process.UserDtb.Value, va);
            Assert.Equal(walker.Walk(process.Dtb.Value, process.Peb.Value), User(process.Peb.Value));
            foreach (var cpu in truth.Cpus)
            {
                Assert.NotNull(User(cpu.Idt.Value));
                Assert.NotNull(User(cpu.Gdt.Value));
                Assert.NotNull(User(cpu.Tss.Value));
                Assert.NotNull(User(cpu.Registers.LStar.Value));
                Assert.NotNull(User(cpu.Kpcr.Value + (ulong)image.Tables.OffsetOf("_KPCR", "Prcb.KernelDirectoryTableBase")));
            }
            foreach (var va in new[] { truth.Kernel.Base, truth.Global("PsActiveProcessHead").Va, process.Eprocess, truth.Kdbg.Va, truth.Paging.PteBase, truth.Times.SharedUserDataVa })
                Assert.Null(User(va.Value));
        }
    }

    [Fact]
    public void Without_kva_shadow_there_is_one_table_and_no_pcid()
    {
        var (image, truth) = Twins.Make(Twins.Small("19041") with { KvaShadow = false, CpuCount = 2, CpuModes = CpuModes.User });
        Assert.All(truth.Processes, p => Assert.Equal(0UL, p.Dtb.Value & 0xFFF));
        Assert.All(truth.Processes, p => Assert.Equal(0UL, p.UserDtb.Value));
        Assert.All(truth.Cpus, c => Assert.Equal(truth.Kernel.Base.Value + image.Tables.Symbol("KiSystemCall64"), c.Registers.LStar.Value));
        Assert.Equal(0, new Walker(image.Plan).Physical(truth.Global("KiKvaShadow").Pa.Value));
    }

    [Fact]
    public void Discarded_sections_are_holes()
    {
        var (image, truth) = Twins.Make(Twins.Small("20348"));
        var walker = new Walker(image.Plan);
        var init = truth.Kernel.Sections.Single(s => s.Name == "INIT");
        Assert.True(init.Discarded);
        for (var rva = init.Rva.Value; rva < init.Rva.Value + init.Size.Value; rva += 0x1000)
            Assert.Null(walker.Walk(truth.Paging.SystemDtb.Value, truth.Kernel.Base.Value + rva));
    }

    [Fact]
    public void A_low_hole_puts_a_good_part_above_4_gib()
    {
        var (image, truth) = Twins.Make(Twins.Small("19041") with { MemorySize = 192 * TwinOptions.MiB, LowSize = 96 * TwinOptions.MiB });
        Assert.All(image.Plan.Segments, s => Assert.True(s.Address >= 0x1_0000_0000 || s.Address + (ulong)s.Bytes.Length <= 96 * TwinOptions.MiB));
        Assert.All(image.Plan.Segments, s => Assert.False(s.Address < 0x100000 && s.Address + (ulong)s.Bytes.Length > 0xA0000));
        var high = truth.Processes.Count(p => p.EprocessPa.Value >= 0x1_0000_0000);
        Assert.InRange(high, 5, truth.Processes.Count);
        Assert.Equal(3, truth.Memory.Runs.Count);
        Assert.InRange(image.Plan.Segments.Count, 1, 64);
    }

    [Fact]
    public void The_same_options_give_the_same_bytes_and_another_seed_others()
    {
        var options = Twins.Small("17763") with { CpuCount = 2, CpuModes = CpuModes.Mixed, FillPercent = 3 };
        Assert.Equal(Fingerprint(options), Fingerprint(options));
        Assert.NotEqual(Fingerprint(options), Fingerprint(options with { Seed = 2 }));

        static string Fingerprint(TwinOptions options)
        {
            var image = ImageBuilder.Build(options, KernelCatalog.Load(options.Build), GuestCode.Assemble);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (var segment in image.Plan.Segments)
            {
                hash.AppendData(BitConverter.GetBytes(segment.Address));
                hash.AppendData(segment.Bytes.Span);
            }
            hash.AppendData(JsonSerializer.SerializeToUtf8Bytes(TruthBuilder.Build(image), TruthJson.Readable.TruthDocument));
            return Convert.ToHexString(hash.GetHashAndReset());
        }
    }

    [Theory]
    [InlineData("7601", false)]
    [InlineData("20348", true)]
    public void A_note_is_contiguous_names_its_copy_and_moves_nothing_else(string build, bool encoded)
    {
        var options = Twins.Small(build) with { KdbgEncoded = encoded };
        var (plain, without) = Twins.Make(options);
        var (image, truth) = Twins.Make(options with { Note = true });
        Assert.Null(without.Note);
        Assert.Null(plain.Plan.VmCoreInfo);
        var note = truth.Note!;
        Assert.Equal(new VmCoreInfoNote(note.Address.Value, 24 + 0x2000), image.Plan.VmCoreInfo);
        Assert.Equal(note.Size, image.Plan.VmCoreInfo!.Size);

        var walker = new Walker(image.Plan);
        for (var at = 0UL; at < note.Size; at += 0x1000)
            Assert.Equal<ulong?>(note.Address.Value + at, walker.Walk(truth.Paging.SystemDtb.Value, note.Va.Value + at));
        var bytes = image.System.Read(note.Va.Value, (int)note.Size);
        Assert.Equal("VMCOREINFO\0\0PAGEDU64"u8, bytes.AsSpan(12, 20));
        Assert.Equal(note.DebuggerBlock.Value, BitConverter.ToUInt64(bytes, 24 + 0x40));
        Assert.Equal(truth.Kdbg.Va.Value, BitConverter.ToUInt64(bytes, 24 + 0x80));
        Assert.Equal(truth.Kdbg.Decoded, Convert.ToHexStringLower(image.System.Read(note.DebuggerBlock.Value, truth.Kdbg.Size)));

        // Of what is counted, the pages that the note takes.
        static IEnumerable<TruthGlobal> Fixed(TruthDocument truth) => truth.Globals.Where(g => !g.Name.Contains("PageListHead", StringComparison.Ordinal) && g.Name != "MmAvailablePages");
        Assert.Equal(Fixed(without), Fixed(truth));
        Assert.Equal(without.Processes.Select(p => p.EprocessPa), truth.Processes.Select(p => p.EprocessPa));
        Assert.Equal(without.Cpus, truth.Cpus);
    }

    [Theory]
    [InlineData("--memory", "64")]
    [InlineData("--processes", "5001")]
    [InlineData("--cpus", "65")]
    [InlineData("--drivers", "1")]
    [InlineData("--levels", "3")]
    [InlineData("--hot", "48")]
    [InlineData("--free", "3000000")]
    public void Options_out_of_range_are_refused(string name, string value)
    {
        var options = MakeVerb.With(new TwinOptions(), name, value);
        Assert.Throws<ImageException>(options.Check);
    }

    [Theory]
    [InlineData("--nothing", "1")]
    [InlineData("--memory", "-5")]
    [InlineData("--kva", "maybe")]
    [InlineData("--bugcheck", "xyz")]
    public void Words_that_mean_nothing_are_refused(string name, string value)
    {
        Assert.Throws<UsageException>(() => MakeVerb.With(new TwinOptions(), name, value));
    }

    [Fact]
    public void Too_many_processes_for_the_memory_are_refused_with_the_reason()
    {
        var error = Assert.Throws<ImageException>(() => Twins.Make(Twins.Small("7601") with { Processes = 5000 }));
        Assert.Contains("128 MiB", error.Message);
    }
}
