using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps.Tests;

/// <summary>What is written into a dump's memory for debuggers is read back as the same registers, and never as more than was known.</summary>
public sealed class SavedRegistersTests
{
    private static readonly string[] NotKept =
        [nameof(CpuState.Source), nameof(CpuState.Efer), nameof(CpuState.Cs), nameof(CpuState.Ss), nameof(CpuState.Ds), nameof(CpuState.Es), nameof(CpuState.Tr), nameof(CpuState.Ldtr), nameof(CpuState.St), nameof(CpuState.Xmm)];

    [Fact]
    public void EverythingThatADumpHoldsComesBack()
    {
        var cpu = new HandMadeGuest().Cpu(0) with
        {
            Cr0 = 0x8005_0031, Cr2 = 0x1234, Cr8 = 2, Star = 0x23_0010UL << 32, LStar = 0xFFFF_F800_1234_5678, CStar = 0xFFFF_F800_1234_9000, SfMask = 0x4700, Xcr0 = 7, DebugCtl = 1,
        };
        var (context, special) = Save(cpu);
        var read = SavedRegisters.Read(cpu.Index, "test", context, special)!;

        foreach (var property in typeof(CpuState).GetProperties().Where(property => property.SetMethod is not null && !NotKept.Contains(property.Name)))
            Assert.Equal((property.Name, property.GetValue(cpu)?.ToString()), (property.Name, property.GetValue(read)?.ToString()));
        Assert.Equal(cpu.Cs!.Value.Selector, read.Cs!.Value.Selector);
        Assert.Equal(cpu.Gs!.Value.Base, read.Gs!.Value.Base);
        Assert.Equal(cpu.Fs!.Value.Base, read.Fs!.Value.Base);
        Assert.Equal(cpu.Tr!.Value.Selector, read.Tr!.Value.Selector);
        Assert.True(cpu.Xmm!.Value.Span.SequenceEqual(read.Xmm!.Value.Span));
        Assert.True(cpu.St!.Value.Span.SequenceEqual(read.St!.Value.Span));
    }

    [Fact]
    public void UnknownStaysUnknown()
    {
        var (context, special) = Save(new HandMadeGuest().Cpu(0) with { R12 = null, Xmm = null, Cr0 = null, LStar = null });
        var read = SavedRegisters.Read(0, "test", context, special)!;
        Assert.Null(read.Rax);
        Assert.Null(read.Xmm);
        // CR0 without paging was never saved: then nothing beside it was either.
        Assert.Null(read.Cr3);
        Assert.Null(read.LStar);
        Assert.NotNull(read.Rip);
    }

    [Fact]
    public void ZerosAndFillerAreNoRegisters()
    {
        Assert.Null(SavedRegisters.Read(0, "test", new byte[Amd64ContextLayout.Size], new byte[SpecialRegistersLayout.MinSize]));
        Assert.Null(SavedRegisters.Read(0, "test", default, default));
        var (context, _) = Save(new HandMadeGuest().Cpu(0) with { Rip = null });
        Assert.Null(SavedRegisters.Read(0, "test", context, default));
    }

    private static (byte[] Context, byte[] Special) Save(CpuState cpu)
    {
        var (context, special) = (new byte[Amd64ContextLayout.Size], new byte[0x100]);
        Amd64Context.Write(cpu, context);
        SpecialRegisters.Update(cpu, special);
        return (context, special);
    }
}
