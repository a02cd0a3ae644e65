using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows.Tests;

/// <summary>Two small systems one behind the other; page table entries and table bases of the second are moved with it.</summary>
internal sealed class JoinedMemory : PhysicalMemory
{
    private readonly SmallMemory _joined;

    public JoinedMemory(SmallMemory first, SmallWindows secondSystem)
    {
        var second = secondSystem.Memory;
        _joined = new SmallMemory(first.Bytes.Length + second.Bytes.Length);
        first.Bytes.CopyTo(_joined.Bytes);
        var behind = _joined.Bytes[first.Bytes.Length..];
        second.Bytes.CopyTo(behind);

        // Everything below the first frame is page tables; present entries point within the second memory.
        for (var at = 0; at < 0x40_0000; at += 8)
        {
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(behind[at..]);
            if ((entry & 1) != 0)
                BinaryPrimitives.WriteUInt64LittleEndian(behind[at..], entry + (ulong)first.Bytes.Length);
        }
        foreach (var process in secondSystem.Processes)
        {
            var table = (int)secondSystem.At(process + (ulong)secondSystem.Layouts.Process.DirectoryTableBase);
            BinaryPrimitives.WriteUInt64LittleEndian(behind[table..], BinaryPrimitives.ReadUInt64LittleEndian(behind[table..]) + (ulong)first.Bytes.Length);
        }
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _joined.Ranges;

    public override PageState StateOf(PhysicalAddress address) => _joined.StateOf(address);

    public override int Read(PhysicalAddress address, Span<byte> destination) => _joined.Read(address, destination);
}
