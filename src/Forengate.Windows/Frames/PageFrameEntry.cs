using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>How an entry of the page frame database (<c>_MMPFN</c>) is laid out, as far as it is read.</summary>
/// <param name="Size">Of an entry, in bytes.</param>
/// <param name="Location">Where <c>u3.e1.PageLocation</c> lies: within one byte.</param>
/// <param name="Evidence">How that was found out of memory, in one line; null where the kernel's profile says it.</param>
internal readonly record struct PageFrameEntry(int Size, FieldPlace Location, string? Evidence);
