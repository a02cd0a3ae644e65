using Forengate.Testing.Referee;

namespace Forengate.House.Tests.Referee;

/// <summary>Reading what the engine printed; works without the engine.</summary>
public sealed class EngineVerdictTests
{
    private const string Said = """
        @@ open /x/a.dmp

        ************* Waiting for Debugger Extensions Gallery to Initialize **************
        Loading Dump File [Z:\x\a.dmp]
        Kernel Complete Dump File: Full address space is available
        Comment: 'failed to be corrupt'
        Unable to load image \SystemRoot\system32\ntoskrnl.exe, Win32 error 0n2
        *** WARNING: Unable to verify checksum for ntoskrnl.exe
        *************************************************************************
        ***    Type referenced: nt!_MMPTE_TRANSITION                          ***
        Unable to add extension DLL: kdexts
        Access violation - code c0000005 (first/second chance not available)
        @@ opened
        @@ run vertarget
        Windows 10 Kernel Version 19041 MP (2 procs) Free x64
        Product: WinNt, suite: TerminalServer SingleUserTS
        Edition build lab: 19041.1.amd64fre.vb_release.191206-1406
        Kernel base = 0xfffff805`0fe00000 PsLoadedModuleList = 0xfffff805`10a2a2b0
        Debug session time: Sat Jun 27 18:50:03.802 2020 (UTC + 0:00)
        System Uptime: 1 days 2:10:18.749
        @@ run lm
        start             end                 module name
        fffff805`0fe00000 fffff805`10e46000   nt       C (no symbols)           
        fffff805`13000000 fffff805`13050000   tcpip      (deferred)             

        Unloaded modules:
        fffff805`14000000 fffff805`14010000   old.sys
        @@ run .dumpdebug
        ----- 64 bit Kernel Full Dump Analysis

        DUMP_HEADER64:
        DirectoryTableBase  00000000`00100000
        NumberProcessors    00000002
        Comment             'study'

        Physical Memory Description:
        Number of runs: 2 (limited to 2)
                  FileOffset           Start Address           Length
                   00000000`00001000     00000000`00001000     00000000`0009e000
                   00000000`0009f000     00000000`00100000     00000000`00051000
        Last Page: 00000000`000ef000     00000000`00150000

        KiProcessorBlock at fffff805`10afcc80
          2 KiProcessorBlock entries:
          fffff805`0a000180 fffff805`0a100180
        @@ run ~0s; r
        rax=000000000aaaa000 rbx=0000000000000004 rcx=0000000000000002
        iopl=0         nv up ei pl zr na po nc
        cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00000246
        @@ run ~1s; r
        rax=000000000aaaa001 rbx=0000000000000004 rcx=0000000000000002
        @@ run ~1s; r cr3
        cr3=0000000000100000
        @@ run db 0xfffff78000000ffe L0x13
        fffff780`00000ffe  9a 78 ?? ?? ?? ?? ?? ??-?? ?? ?? ?? ?? ?? ?? ??  .x??????????????
        fffff780`0000100e  ?? ?? 41                                         ??A
        @@ open /x/b.dmp
        THIS DUMP FILE IS PARTIALLY CORRUPT.
        KdDebuggerDataBlock is not present or unreadable.
        KiProcessorBlock[1] is null.
        @@ opened
        @@ run vertarget
        Windows 10 Kernel Version 19041 UP Free x64
        System Uptime: not available
        @@ run dq 0
        @@ failed 0x80040205
        """;

    private static readonly IReadOnlyList<EngineVerdict> Verdicts = EngineVerdict.ParseAll(Said);

    [Fact]
    public void Sums_up_the_target()
    {
        var target = Verdicts[0].Target;
        Assert.Equal((19041, 2, 0xfffff8050fe00000, 0xfffff80510a2a2b0), (target.Build, target.Processors, target.KernelBase, target.PsLoadedModuleList));
        Assert.Equal("19041.1.amd64fre.vb_release.191206-1406", target.BuildLab);
        Assert.Equal("WinNt, suite: TerminalServer SingleUserTS", target.Product);
        Assert.Equal(new DateTime(2020, 6, 27, 18, 50, 3, 802, DateTimeKind.Utc), target.SessionTime);
        Assert.Equal(new TimeSpan(1, 2, 10, 18, 749), target.Uptime);
        Assert.Equal(1, Verdicts[1].Target.Processors);
    }

    [Fact]
    public void Lists_modules_and_unloaded_ones()
    {
        Assert.Equal([new(0xfffff8050fe00000, 0xfffff80510e46000, "nt"), new(0xfffff80513000000, 0xfffff80513050000, "tcpip")], Verdicts[0].Modules);
        Assert.Equal("old.sys", Assert.Single(Verdicts[0].UnloadedModules).Name);
    }

    [Fact]
    public void Reads_the_header()
    {
        var header = Verdicts[0].Header;
        Assert.Equal("64 bit Kernel Full Dump", header.Kind);
        Assert.Equal((0x100000UL, 2UL), (header["DirectoryTableBase"], header["NumberProcessors"]));
        Assert.Null(header["Comment"]);
        Assert.Equal("'study'", header.Fields["Comment"]);
        Assert.Equal([new(0x1000, 0x1000, 0x9e000), new(0x9f000, 0x100000, 0x51000)], header.Runs);
        Assert.Equal([0xfffff8050a000180, 0xfffff8050a100180], header.ProcessorBlocks);
    }

    [Fact]
    public void Gathers_registers_by_processor()
    {
        Assert.Equal(2, Verdicts[0].Registers.Count);
        Assert.Equal((0xaaaa000UL, 0x10UL, 0x246UL), (Verdicts[0].Registers[0]["rax"], Verdicts[0].Registers[0]["cs"], Verdicts[0].Registers[0]["efl"]));
        Assert.Equal((0xaaaa001UL, 0x100000UL), (Verdicts[0].Registers[1]["rax"], Verdicts[0].Registers[1]["cr3"]));
    }

    [Fact]
    public void Tells_bytes_from_holes()
    {
        Assert.Equal([0x9a, 0x78, .. new byte?[16], 0x41], Verdicts[0].Memory(0xfffff78000000ffe, 0x13));
        Assert.Throws<ArgumentException>(() => Verdicts[0].Memory(0x1000, 1));
    }

    [Fact]
    public void Finds_no_fault_in_what_the_set_up_always_says() => Assert.Empty(Verdicts[0].Complaints);

    [Fact]
    public void Finds_every_fault_and_what_is_left_unsaid() => Assert.Equal(
        [
            "THIS DUMP FILE IS PARTIALLY CORRUPT.",
            "KdDebuggerDataBlock is not present or unreadable.",
            "KiProcessorBlock[1] is null.",
            "System Uptime: not available",
            "dq 0: the engine failed with error 0x80040205",
            "the engine shows no debug session time",
            "the engine shows no system up-time",
            "the engine died on this dump",
        ], Verdicts[1].Complaints);
}
