using System.Buffers.Binary;

namespace Forengate.Symbols.Tests;

/// <summary>
/// A cabinet of one file packed by LZX, as Microsoft's makecab writes symbol files with <c>/D CompressionType=LZX</c>: no tool of Debian packs one. Written by [MS-CAB] and [MS-PATCH]'s LZX appendix; whether it is one is told by cabextract.
/// One verbatim block with real matches, repeated offsets, and fixed code lengths that fill each tree.
/// </summary>
internal sealed class LzxCabinet
{
    private const int Frame = 1 << 15;
    private const int WindowBits = 15;
    private const int PositionSlots = 30;
    private const int Literals = 256;
    private const int MainElements = Literals + (PositionSlots * 8);
    private const int LengthElements = 249;
    private const int LongestMatch = 257;

    /// <summary>Match elements of eight bits: with 480 others of nine bits they make the main tree full.</summary>
    private const int ShortMain = 16;

    /// <summary>Lengths of seven bits: with 242 others of eight bits they make the length tree full.</summary>
    private const int ShortLengths = 7;

    private readonly List<byte[]> _frames = [];
    private readonly List<byte> _frame = [];
    private uint _bits;
    private int _count;

    /// <summary>Packs a file of less than 16 MiB.</summary>
    public static byte[] Of(string name, byte[] content)
    {
        var packer = new LzxCabinet();
        packer.Pack(content);
        return packer.Wrap(name, content.Length);
    }

    private void Pack(byte[] content)
    {
        Put(0, 1); // No translation of x86 calls.
        Put(1, 3); // Verbatim block.
        Put((uint)content.Length >> 8, 16);
        Put((uint)content.Length & 0xFF, 8);
        PutTree([.. Enumerable.Repeat(9, Literals)]);
        PutTree([.. Enumerable.Repeat(8, ShortMain), .. Enumerable.Repeat(9, MainElements - Literals - ShortMain)]);
        PutTree([.. Enumerable.Repeat(7, ShortLengths), .. Enumerable.Repeat(8, LengthElements - ShortLengths)]);

        var seen = new Dictionary<uint, int>();
        var (r0, at) = (1, 0);
        while (at < content.Length)
        {
            // A match does not go over the end of a frame.
            var most = Math.Min(Math.Min(LongestMatch, content.Length - at), Frame - (at % Frame));
            var length = 0;
            var from = 0;
            if (most >= 3)
            {
                var key = (uint)content[at] | ((uint)content[at + 1] << 8) | ((uint)content[at + 2] << 16);
                if (seen.TryGetValue(key, out from) && at - from < (1 << WindowBits) - 3)
                {
                    while (length < most && content[from + length] == content[at + length])
                        length++;
                }
                seen[key] = at;
            }
            if (length < 3)
            {
                PutMain(content[at++]);
            }
            else
            {
                PutMatch(at - from, length, ref r0);
                at += length;
            }
            if (at % Frame == 0)
                EndFrame();
        }
        if (at % Frame != 0)
            EndFrame();
    }

    private void PutMatch(int offset, int length, ref int r0)
    {
        var (slot, footer, bits) = offset == r0 ? (0, 0, 0) : SlotOf(offset + 2);
        r0 = offset;
        var header = Math.Min(length - 2, 7);
        PutMain(Literals + (slot * 8) + header);
        if (header == 7)
            PutLength(length - 2 - 7);
        Put((uint)footer, bits);
    }

    private static (int Slot, int Footer, int Bits) SlotOf(int formatted)
    {
        var (slot, start) = (0, 0);
        while (true)
        {
            var bits = slot < 4 ? 0 : (slot / 2) - 1;
            if (formatted < start + (1 << bits))
                return (slot, formatted - start, bits);
            start += 1 << bits;
            slot++;
        }
    }

    /// <summary>Canonical codes: the shorter first, each in the elements' order.</summary>
    private void PutMain(int element)
    {
        if (element >= Literals && element < Literals + ShortMain)
            Put((uint)(element - Literals), 8);
        else
            Put((uint)((ShortMain << 1) + (element < Literals ? element : element - ShortMain)), 9);
    }

    private void PutLength(int element)
    {
        if (element < ShortLengths)
            Put((uint)element, 7);
        else
            Put((uint)((ShortLengths << 1) + element - ShortLengths), 8);
    }

    /// <summary>Lengths of codes, each as the difference to none, by a tree of its own: 20 lengths of four bits, of which the three values in use have codes of two bits.</summary>
    private void PutTree(ReadOnlySpan<int> lengths)
    {
        // Differences modulo 17: a length of 7 is 10, 8 is 9, 9 is 8. A fourth code fills the tree.
        for (var value = 0; value < 20; value++)
            Put(value is >= 8 and <= 11 ? 2u : 0, 4);
        foreach (var length in lengths)
            Put((uint)(17 - length - 8), 2);
    }

    /// <summary>Sixteen bits at a time, the highest first, each word little-endian.</summary>
    private void Put(uint value, int bits)
    {
        for (var bit = bits - 1; bit >= 0; bit--)
        {
            _bits = (_bits << 1) | ((value >> bit) & 1);
            if (++_count == 16)
                Flush();
        }
    }

    private void Flush()
    {
        _frame.Add((byte)_bits);
        _frame.Add((byte)(_bits >> 8));
        (_bits, _count) = (0, 0);
    }

    private void EndFrame()
    {
        if (_count > 0)
            Put(0, 16 - _count);
        _frames.Add([.. _frame]);
        _frame.Clear();
    }

    private byte[] Wrap(string name, int length)
    {
        const int Header = 36, Folder = 8, File = 16, Data = 8;
        var first = Header + Folder + File + name.Length + 1;
        var total = first + _frames.Sum(frame => Data + frame.Length);
        var cabinet = new byte[total];
        "MSCF"u8.CopyTo(cabinet);
        Dword(8, total);
        Dword(16, Header + Folder);
        cabinet[24] = 3;
        cabinet[25] = 1;
        Word(26, 1);
        Word(28, 1);
        Dword(Header, first);
        Word(Header + 4, _frames.Count);
        Word(Header + 6, 3 | (WindowBits << 8));
        Dword(Header + Folder, length);
        Word(Header + Folder + 14, 0x20);
        System.Text.Encoding.ASCII.GetBytes(name, cabinet.AsSpan(Header + Folder + File));
        var at = first;
        for (var i = 0; i < _frames.Count; i++)
        {
            Word(at + 4, _frames[i].Length);
            Word(at + 6, i < _frames.Count - 1 || length % Frame == 0 ? Frame : length % Frame);
            _frames[i].CopyTo(cabinet, at + Data);
            at += Data + _frames[i].Length;
        }
        return cabinet;

        void Dword(int place, int value) => BinaryPrimitives.WriteInt32LittleEndian(cabinet.AsSpan(place), value);
        void Word(int place, int value) => BinaryPrimitives.WriteUInt16LittleEndian(cabinet.AsSpan(place), (ushort)value);
    }
}
