using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>What a plan makes of a guest, read back from the written dump through page tables of the dump itself.</summary>
public sealed class DumpPlanTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void HeaderHoldsTheTruth(bool encoded)
    {
        var guest = new HandMadeGuest(encoded: encoded);
        var plan = DumpPlan.For(guest.Facts(), DumpOptions.Default);
        var header = new CrashDumpHeader64(plan.Header.Span);

        Assert.Equal(0xFu, header.MajorVersion);
        Assert.Equal(19041u, header.MinorVersion);
        Assert.Equal(guest.DirectoryTableBase, header.DirectoryTableBase);
        Assert.Equal(HandMadeGuest.PfnDatabase, header.PfnDataBase);
        Assert.Equal(HandMadeGuest.ModuleHead, header.PsLoadedModuleList);
        Assert.Equal(HandMadeGuest.ProcessHead, header.PsActiveProcessHead);
        Assert.Equal(HandMadeGuest.Kdbg, header.KdDebuggerDataBlock);
        Assert.Equal(0x8664u, header.MachineImageType);
        Assert.Equal(2u, header.NumberProcessors);
        Assert.Equal(0x161u, header.BugCheckCode);
        Assert.Equal(133_000_000_000_000_000u, header.SystemTime);
        Assert.Equal(36_000_000_000u, header.SystemUpTime);
        Assert.Equal(1u, header.ProductType);
        Assert.Equal(0x110u, header.SuiteMask);
        Assert.Equal(7u, header.BootId);
        Assert.Equal(CrashDumpAttributes.None, header.Attributes);
        Assert.Equal(2, header.KdSecondaryVersion);
        Assert.Equal(plan.FileSize, header.RequiredDumpSpace);
        Assert.Equal([new CrashDumpRun(1, 0x9F), new CrashDumpRun(0x100, 0xF00)], plan.Runs);
        // Processor 0 is idle: the context is processor 1's, whatever vCPU that is.
        Assert.Equal(HandMadeGuest.Kernel + 0x101, new Amd64ContextView(header.ContextRecord).Rip);
        Assert.Equal(HandMadeGuest.Kernel + 0x101, header.ExceptionAddress);
        Assert.Equal(0x80000003u, header.ExceptionCode);
        Assert.Empty(plan.Gaps);
        Assert.Empty(plan.Disagreements);
        Assert.All(plan.Fields, field => Assert.NotEmpty(field.Source));
        Assert.DoesNotContain(plan.Fields, field => field.Value is null);
        // No letters PAGE in any field a reader knows: only behind the last.
        Assert.Equal(-1, plan.Header.Span[8..(CrashDumpLayout64.PhysicalMemoryBlock + CrashDumpLayout64.PhysicalMemoryBlockSize)].IndexOf("PAGE"u8));
        Assert.Equal(-1, plan.Header.Span[CrashDumpLayout64.Exception..CrashDumpLayout64.Reserved].IndexOf("PAGE"u8));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void DebuggerBlockIsPlainInTheDumpOnly(bool encoded)
    {
        var guest = new HandMadeGuest(encoded: encoded);
        var memory = guest.Memory();
        var before = (byte[])memory.Bytes.Clone();
        using var view = Dump(guest.Facts(memory));
        var space = new AddressSpace(view.Memory, guest.DirectoryTableBase);

        var block = new byte[guest.PlainKdbg.Length];
        Assert.True(space.TryRead(new VirtualAddress(HandMadeGuest.Kdbg), block));
        Assert.Equal(guest.PlainKdbg, block);
        Assert.True(space.TryRead(new VirtualAddress(HandMadeGuest.Flag), out byte flag));
        Assert.Equal(0, flag);
        Assert.Equal(before, memory.Bytes);
    }

    [Fact]
    public void EachProcessorHasItsOwnRegisters()
    {
        var guest = new HandMadeGuest(processors: 4);
        using var view = Dump(guest.Facts());
        var space = new AddressSpace(view.Memory, guest.DirectoryTableBase);
        for (var i = 0; i < 4; i++)
        {
            var kprcb = new VirtualAddress(HandMadeGuest.Kprcb(i));
            Assert.True(space.TryReadPointer(kprcb + HandMadeGuest.ContextPointer, out var pointed));
            foreach (var place in (VirtualAddress[])[pointed, kprcb + HandMadeGuest.ProcessorState + HandMadeGuest.SpecialSize])
            {
                var context = new byte[Amd64ContextLayout.Size];
                Assert.True(space.TryRead(place, context));
                var read = new Amd64ContextView(context);
                Assert.Equal(HandMadeGuest.Kernel + 0x100 + (ulong)i, read.Rip);
                Assert.Equal(HandMadeGuest.Stack(i), read.Rsp);
                Assert.Equal(0x10, read.SegCs);
                Assert.Equal(0xA0ul + (ulong)i, BinaryPrimitives.ReadUInt64LittleEndian(context.AsSpan(Amd64ContextLayout.Rax)));
                Assert.Equal(15ul, BinaryPrimitives.ReadUInt64LittleEndian(context.AsSpan(Amd64ContextLayout.R8 + 56)));
                Assert.Equal(255, context[Amd64ContextLayout.FltXmm + 255]);
                Assert.Equal(
                    Amd64ContextFlags.Control | Amd64ContextFlags.Integer | Amd64ContextFlags.Segments | Amd64ContextFlags.FloatingPoint | Amd64ContextFlags.DebugRegisters, read.Flags);
            }
            var special = new byte[HandMadeGuest.SpecialSize];
            Assert.True(space.TryRead(kprcb + HandMadeGuest.ProcessorState, special));
            Assert.Equal(HandMadeGuest.Kpcr(i), BinaryPrimitives.ReadUInt64LittleEndian(special.AsSpan(SpecialRegistersLayout.MsrGsBase)));
            Assert.Equal(0x7FF000000000 + (ulong)i, BinaryPrimitives.ReadUInt64LittleEndian(special.AsSpan(SpecialRegistersLayout.MsrGsSwap)));
            Assert.Equal(guest.Cpu(i).Gdtr!.Value.Base, BinaryPrimitives.ReadUInt64LittleEndian(special.AsSpan(SpecialRegistersLayout.GdtrBase)));
            Assert.Equal(0x57, BinaryPrimitives.ReadUInt16LittleEndian(special.AsSpan(SpecialRegistersLayout.GdtrLimit)));
            Assert.Equal(0x40, BinaryPrimitives.ReadUInt16LittleEndian(special.AsSpan(SpecialRegistersLayout.Tr)));
        }
    }

    [Fact]
    public void UnknownRegistersAreNotFlagged()
    {
        var cpu = new HandMadeGuest().Cpu(0) with { Xmm = null, R12 = null, Dr7 = null };
        var context = new byte[Amd64ContextLayout.Size];
        Assert.Equal(Amd64ContextFlags.Control | Amd64ContextFlags.Segments, Amd64Context.Write(cpu, context));
    }

    [Fact]
    public void BugcheckNamesTheProcessorThatCalledKeBugCheckEx()
    {
        var guest = new HandMadeGuest(processors: 4);
        var home = new byte[32];
        ulong[] arguments = [0xD1, 0x8, 0x2, 0x1];
        Buffer.BlockCopy(arguments, 0, home, 0, 32);
        guest.Write(HandMadeGuest.Stack(2) + 0x90, home);
        var facts = guest.Facts() with { BugCheck = new BugCheckData(0xD1, 8, 2, 1, 4) };
        var plan = DumpPlan.For(facts, DumpOptions.Default);
        var header = new CrashDumpHeader64(plan.Header.Span);

        Assert.Equal(0xD1u, header.BugCheckCode);
        Assert.Equal(8u, header.BugCheckParameter1);
        Assert.Equal(4u, header.BugCheckParameter4);
        Assert.Equal(HandMadeGuest.Kernel + 0x102, header.ExceptionAddress);
    }

    [Fact]
    public void ImageWithoutRegistersStillTellsKernelModeAndTables()
    {
        var guest = new HandMadeGuest();
        var plan = DumpPlan.For(guest.Facts(withRegisters: false), DumpOptions.Default);
        Assert.Contains(plan.Gaps, gap => gap.Contains("no registers", StringComparison.Ordinal));
        var path = _folder["raw.dmp"];
        DumpWriter.Write(plan, path);
        var report = DumpChecker.Check(path);
        Assert.True(report.Passed, string.Join('\n', report.Findings));
        Assert.All(report.Processors, processor => Assert.Equal((ushort)0x10, processor.SegCs!.Value));
        Assert.All(report.Processors, processor => Assert.Equal(HandMadeGuest.Kpcr(processor.Number) + 0x10000, processor.Gdt!.Value.Value));
    }

    [Fact]
    public void MissingFactsLeaveFillerAndAreListed()
    {
        var plan = DumpPlan.For(new HandMadeGuest().Facts() with { Shared = null, Kdbg = null }, DumpOptions.Default);
        var unknown = plan.Fields.Where(field => field.Value is null).Select(field => field.Name);
        Assert.Equal(["PfnDataBase", "KdDebuggerDataBlock", "SystemTime", "SystemUpTime", "ProductType", "SuiteMask", "BootId"], unknown);
        Assert.Equal(CrashDumpHeader64.LongFiller, new CrashDumpHeader64(plan.Header.Span).SystemTime);
        Assert.Contains(plan.Gaps, gap => gap.StartsWith("KDBG was not found", StringComparison.Ordinal));
    }

    [Fact]
    public void DisagreementsAreTold()
    {
        var facts = new HandMadeGuest().Facts();
        var more = facts.View.Cpus.Append(facts.View.Cpus[0] with { Index = 9, Gs = new SegmentRegister(0x2B, 0x1234) }).ToList();
        var view = new View(facts.View.Memory, more, facts.View.Consistency, facts.View.Origin);
        var plan = DumpPlan.For(facts with { View = view, PsLoadedModuleList = new(0xFFFFF80012345678) }, DumpOptions.Default);
        Assert.Contains(plan.Disagreements, text => text.StartsWith("the hypervisor has 3 vCPUs", StringComparison.Ordinal));
        Assert.Contains(plan.Disagreements, text => text.StartsWith("vCPU 9 ", StringComparison.Ordinal));
        Assert.Contains(plan.Disagreements, text => text.StartsWith("PsLoadedModuleList", StringComparison.Ordinal));
    }

    private View Dump(DumpFacts facts)
    {
        var path = _folder["guest.dmp"];
        DumpWriter.Write(DumpPlan.For(facts, DumpOptions.Default), path);
        return ImageReader.Open(path);
    }
}
