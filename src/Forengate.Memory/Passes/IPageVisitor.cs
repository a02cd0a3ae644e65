namespace Forengate.Memory;

/// <summary>Looks at each page of a <see cref="MemoryPass"/>.</summary>
public interface IPageVisitor
{
    /// <summary>One page that has bytes; zero pages and pages without bytes are not visited. Called from several threads at once, in no order.</summary>
    /// <param name="page">Guest-physical address of the page.</param>
    /// <param name="bytes">Its 4,096 bytes, valid during the call.</param>
    void Visit(PhysicalAddress page, ReadOnlySpan<byte> bytes);
}
