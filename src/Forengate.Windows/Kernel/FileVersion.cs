using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>The version resource of an image in memory, found by its signature: it names the build also where no profile knows the kernel.</summary>
internal static class FileVersion
{
    /// <summary><c>VS_FIXEDFILEINFO.dwSignature</c> and <c>dwStrucVersion</c> (winver.h, verrsrc.h).</summary>
    private const ulong Signature = 0x0001_0000_FEEF_04BD;
    private const int VersionMs = 8;
    private const int VersionLs = 12;
    private const int Length = 16;

    /// <summary>How much of an image is looked through, in bytes.</summary>
    private const uint MaxImage = 64 << 20;

    /// <summary>"10.0.19041.1826", or null where the resource's page is not in memory.</summary>
    public static string? Read(AddressSpace space, KernelImage image, CancellationToken ct)
    {
        Span<byte> page = stackalloc byte[Page.Size];
        var size = Math.Min(image.Size, MaxImage);
        for (var rva = 0u; rva < size; rva += Page.Size)
        {
            ct.ThrowIfCancellationRequested();
            var got = space.Read(image.Base + rva, page);

            // Resources are aligned to four bytes, the structure within them too.
            var dwords = MemoryMarshal.Cast<byte, uint>(page[..got]);
            var from = 0;
            while (dwords[from..].IndexOf(unchecked((uint)Signature)) is var found and >= 0)
            {
                var at = (from + found) * sizeof(uint);
                if (at + Length > got)
                    break;
                if (BinaryPrimitives.ReadUInt64LittleEndian(page[at..]) == Signature)
                {
                    var (ms, ls) = (BinaryPrimitives.ReadUInt32LittleEndian(page[(at + VersionMs)..]), BinaryPrimitives.ReadUInt32LittleEndian(page[(at + VersionLs)..]));
                    return $"{ms >> 16}.{ms & 0xFFFF}.{ls >> 16}.{ls & 0xFFFF}";
                }
                from += found + 1;
            }
        }
        return null;
    }
}
