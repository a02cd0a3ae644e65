using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forengate.Guests;

/// <summary>
/// Copies memory past the caches. A plain copy first fetches what it is about to overwrite: a third more traffic, and a guest's memory is larger than any cache (1.2 to 1.4 times as fast,
/// measured; the C library does so only from sizes near that of the last cache on, and several pages at once, which is slower here).
/// </summary>
internal static unsafe class WideCopy
{
    private const ulong Step = 128;

    /// <summary>Copies a stretch; both places may be anywhere, the target best at a multiple of 32.</summary>
    /// <remarks>Compiled well at once: it is first called shortly before a guest stands still, and the runtime would take its time.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(byte* target, byte* source, ulong length)
    {
        var done = 0UL;
        if (Avx.IsSupported && (nuint)target % (nuint)Vector256<byte>.Count == 0)
        {
            for (; length - done >= Step; done += Step)
            {
                byte* from = source + done, to = target + done;
                var (a, b) = (Avx.LoadVector256(from), Avx.LoadVector256(from + 32));
                var (c, d) = (Avx.LoadVector256(from + 64), Avx.LoadVector256(from + 96));
                Avx.StoreAlignedNonTemporal(to, a);
                Avx.StoreAlignedNonTemporal(to + 32, b);
                Avx.StoreAlignedNonTemporal(to + 64, c);
                Avx.StoreAlignedNonTemporal(to + 96, d);
            }
        }
        else if (Sse2.IsSupported && (nuint)target % (nuint)Vector128<byte>.Count == 0)
        {
            for (; length - done >= Step / 2; done += Step / 2)
            {
                byte* from = source + done, to = target + done;
                var (a, b) = (Sse2.LoadVector128(from), Sse2.LoadVector128(from + 16));
                var (c, d) = (Sse2.LoadVector128(from + 32), Sse2.LoadVector128(from + 48));
                Sse2.StoreAlignedNonTemporal(to, a);
                Sse2.StoreAlignedNonTemporal(to + 16, b);
                Sse2.StoreAlignedNonTemporal(to + 32, c);
                Sse2.StoreAlignedNonTemporal(to + 48, d);
            }
        }
        // Such stores are not ordered with others: whoever is told that the copy is done must see it.
        if (done > 0)
            Sse.StoreFence();
        Buffer.MemoryCopy(source + done, target + done, length - done, length - done);
    }
}
