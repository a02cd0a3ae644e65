using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Checks the entries of the list of modules against the images they name. Up to its names an entry has been laid out alike since NT (winternl.h declares it), so that is the hypothesis; the images'
/// own headers are the proof. Behind the names builds differ: the link time is found by its value.
/// </summary>
internal sealed class DriverDeduction(AddressSpace space, KernelImage kernel, DeductionLedger ledger, WindowsLimits limits, CancellationToken ct)
{
    /// <summary>Bytes of an entry read: more than any build's entry has.</summary>
    private const int EntryLength = 0xC0;
    private const int FirstBehindNames = PublicLayouts.BaseDllName + UnicodeString.Size;

    private const int MaxJudged = 256;

    private sealed record Entry(byte[] Bytes, LoadedImage? Image);

    public void Run()
    {
        if (ledger.AddressOf(KernelGlobal.PsLoadedModuleList) is not { } head)
        {
            ledger.Refuse(KernelGlobal.PsLoadedModuleList, "neither an export of the kernel image nor KdVersionBlock nor KDBG names it");
            return;
        }
        var entries = Read(head);
        var images = entries.Where(static entry => entry.Image is not null).ToList();
        var (based, named) = (images.Count(Agrees), entries.Count(HasNames));
        if (images.Count < 2 || based * 10 < images.Count * 9 || named * 10 < entries.Count * 9)
        {
            ledger.Refuse(
                KernelField.KLDR_DATA_TABLE_ENTRY_DllBase,
                $"of {entries.Count} entries {images.Count} lead to images in memory, {based} agree with these in size and entry point, {named} have names, where winternl.h declares all that");
            return;
        }
        var how = $"winternl.h; {based} of {images.Count} images in memory have the size and entry point their entry says";
        var names = $"winternl.h; {named} of {entries.Count} entries have a path there and the file name it ends with";
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_InLoadOrderLinks, 0, "winternl.h; the list leads from entry to entry");
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_DllBase, PublicLayouts.DllBase, how);
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_EntryPoint, PublicLayouts.EntryPoint, how);
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_SizeOfImage, PublicLayouts.SizeOfImage, how);
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_FullDllName, PublicLayouts.FullDllName, names);
        ledger.Accept(KernelField.KLDR_DATA_TABLE_ENTRY_BaseDllName, PublicLayouts.BaseDllName, names);
        var stamps = new List<int>();
        for (var offset = FirstBehindNames; offset + sizeof(uint) <= EntryLength; offset += sizeof(uint))
        {
            if (ProcessCensus.NearlyAll(images, entry => Dword(entry, offset) == entry.Image!.Value.TimeDateStamp))
                stamps.Add(offset);
        }
        ledger.Choose(KernelField.KLDR_DATA_TABLE_ENTRY_TimeDateStamp, stamps, null, $"the link time in the headers of {images.Count} images");
    }

    private List<Entry> Read(VirtualAddress head)
    {
        var found = LinkedListWalk.Follow(
            space, head, limits.Drivers,
            (VirtualAddress at, out LinkedListWalk.Links links, out Entry entry) =>
            {
                var bytes = new byte[EntryLength];
                var got = space.Read(at, bytes);
                entry = new Entry(bytes, null);
                links = LinkedListWalk.From(bytes);
                return got >= FirstBehindNames;
            },
            nameof(KernelGlobal.PsLoadedModuleList), new WarningList(1), ct);
        return [.. found.Take(MaxJudged).Select(entry => entry with { Image = ImageOf(new VirtualAddress(Qword(entry, PublicLayouts.DllBase))) })];
    }

    private LoadedImage? ImageOf(VirtualAddress at) => at.IsKernel && at.PageOffset == 0 ? LoadedImage.Read(space, at) : null;

    private bool Agrees(Entry entry)
    {
        var (image, entryPoint) = (entry.Image!.Value, Qword(entry, PublicLayouts.EntryPoint));
        return Dword(entry, PublicLayouts.SizeOfImage) == image.SizeOfImage
            && (entryPoint == 0 || entryPoint - image.Base.Value == image.EntryPoint) && (image.Base != kernel.Base || image.SizeOfImage == kernel.Size);
    }

    private bool HasNames(Entry entry) =>
        UnicodeString.From(entry.Bytes.AsSpan(PublicLayouts.FullDllName)).Read(space) is { Length: > 0 } path
        && UnicodeString.From(entry.Bytes.AsSpan(PublicLayouts.BaseDllName)).Read(space) is { Length: > 0 } name
        && path.EndsWith(name, StringComparison.OrdinalIgnoreCase);

    private static ulong Qword(Entry entry, int offset) => System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(entry.Bytes.AsSpan(offset));

    private static uint Dword(Entry entry, int offset) => System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(entry.Bytes.AsSpan(offset));
}
