using Forengate.Memory;

namespace Forengate.Dumps.Tests;

/// <summary>Guest memory in an array, with ranges and page states of the test's choosing.</summary>
internal sealed class ArrayMemory(byte[] bytes, IReadOnlyList<PhysicalRange> ranges, bool maps = true) : PhysicalMemory
{
    public Dictionary<ulong, PageState> States { get; } = [];

    public byte[] Bytes => bytes;

    public override IReadOnlyList<PhysicalRange> Ranges => ranges;

    public override PageState StateOf(PhysicalAddress address) =>
        States.TryGetValue(address.Frame, out var state) ? state : ranges.Any(range => range.Contains(address)) ? PageState.Present : PageState.Missing;

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) => maps ? Available(address, maxLength) : default;

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        if (StateOf(address) == PageState.Zero)
        {
            var zeros = Math.Min(destination.Length, Page.Size - address.PageOffset);
            destination[..zeros].Clear();
            return zeros;
        }
        var available = Available(address, destination.Length);
        available.CopyTo(destination);
        return available.Length;
    }

    private ReadOnlySpan<byte> Available(PhysicalAddress address, int maxLength)
    {
        var length = 0;
        for (var at = address; length < maxLength && StateOf(at) == PageState.Present; at = at.PageStart + Page.Size)
            length += Page.Size - at.PageOffset;
        return length == 0 ? default : bytes.AsSpan((int)address.Value, Math.Min(length, maxLength));
    }
}
