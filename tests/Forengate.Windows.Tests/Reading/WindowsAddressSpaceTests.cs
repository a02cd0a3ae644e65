using Forengate.Memory;

namespace Forengate.Windows.Tests;

public sealed class WindowsAddressSpaceTests
{
    private const ulong Va = 0xFFFFF80001234000;
    private const ulong Transition = 0x800;
    private const ulong Prototype = 0x400;

    [Fact]
    public void APageInTransitionIsRead()
    {
        using var memory = new SmallMemory();
        memory.Map(Va, 0x300000, Transition);
        memory.Put(0x300008, 0x1122334455667788);
        Assert.True(memory.Space.TryRead(new VirtualAddress(Va + 8), out ulong value));
        Assert.Equal(0x1122334455667788u, value);
    }

    /// <summary>Windows with L1TF mitigation keeps a high address bit set in invalid entries whose swizzle bit is clear.</summary>
    [Theory]
    [InlineData(0x2000_0000_0000, true)]
    [InlineData(0x2000_0000_0010, false)]
    public void TheSwizzledBitIsTakenOffWhereTheEntrySaysSo(ulong bits, bool found)
    {
        using var memory = new SmallMemory();
        memory.Map(Va, 0x300000, Transition | bits);
        Assert.Equal(found, memory.Space.Translate(new VirtualAddress(Va)) is { Ok: true, Address.Value: 0x300000 });
    }

    [Theory]
    [InlineData(Transition | Prototype)]
    [InlineData(Prototype)]
    [InlineData(0)]
    public void OtherInvalidEntriesStayInvalid(ulong flags)
    {
        using var memory = new SmallMemory();
        memory.Map(Va, 0x300000, flags);
        Assert.False(memory.Space.Translate(new VirtualAddress(Va)).Ok);
    }
}
