using System.Text;

namespace Forengate.Memory;

/// <summary>
/// What <c>virsh save</c>, <c>virsh managedsave</c> and a snapshot's external memory are: a header, the domain's XML, a cookie, and QEMU's migration stream, packed or not, or with
/// its pages at fixed places (<c>sparse</c>). docs/formats/libvirt-save.md has the layout.
/// </summary>
public sealed class LibvirtSaveFormat : IImageFormat
{
    public const string FormatName = "libvirt-save";

    private const int HeadSize = 64;

    public string Name => FormatName;

    public bool TakesLowSize => true;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => LibvirtSaveHeader.IsMagic(head);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        if (LibvirtSaveHeader.Parse(file.Span(0, LibvirtSaveHeader.Size), out var header) is { } trouble)
            throw new ImageFormatException($"'{file.Path}' {trouble}");
        if (header.DataLength > options.Limits.DocumentBytes)
        {
            throw new ImageFormatException(
                $"'{file.Path}' is a libvirt save file that claims {header.DataLength} bytes of domain description, more than the bound of {options.Limits.DocumentBytes}: its header is damaged");
        }
        if (header.StreamOffset >= file.Length)
            throw new ImageFormatException($"'{file.Path}' is a libvirt save file that ends before QEMU's stream, at {file.Length} of at least {header.StreamOffset} bytes: it holds no memory");

        var xml = Encoding.UTF8.GetString(XmlOf(file, header));
        var domain = LibvirtDomainXml.Parse(xml);
        var (damage, remarks) = (new List<string>(), new List<string>());
        if (!header.IsComplete)
            damage.Add("libvirt never finished this file (it begins with LibvirtQemudPart): saving is still going on, failed, or was cancelled; what is there is read");
        if (domain.Trouble is { } unreadable)
            damage.Add($"the domain's XML {unreadable}: where memory devices lie may be missing");
        remarks.Add($"the guest was {(header.WasRunning ? "running" : "paused")} when it was saved");

        var packing = PackingOf(file, header, remarks);
        var source = new MigrationSource
        {
            Target = file.Path,
            Format = packing == Packing.None && header.FormatName is "sparse" ? "libvirt save file (sparse)" : "libvirt save file",
            Producer = "libvirt, QEMU",
            FileBytes = (ulong)file.Length,
            GuestName = domain.Name,
            DomainXml = xml,
            Places = [.. domain.MemoryDevices.Where(device => device.Base is not null).Select(device => new KnownPlace(device.Block, new PhysicalAddress(device.Base!.Value), "domain XML"))],
            Remarks = remarks,
            Damage = damage,
        };
        return packing == Packing.None
            ? MigrationImage.Open(file, header.StreamOffset, file.Length - header.StreamOffset, source, options, cancellation)
            : PackedStream.Open(file, header.StreamOffset, packing, source, options, cancellation);
    }

    /// <summary>The XML, without the zero that ends it and what follows: the cookie, and room to edit.</summary>
    private static ReadOnlySpan<byte> XmlOf(MappedFile file, in LibvirtSaveHeader header)
    {
        var length = header.CookieOffset != 0 && header.CookieOffset < header.DataLength ? header.CookieOffset : header.DataLength;
        var bytes = file.Span(LibvirtSaveHeader.Size, (int)length);
        var end = bytes.IndexOf((byte)0);
        return end < 0 ? bytes : bytes[..end];
    }

    /// <summary>How the stream is packed by its own beginning: the header can be wrong about it, the stream can't.</summary>
    private static Packing PackingOf(MappedFile file, in LibvirtSaveHeader header, List<string> remarks)
    {
        var head = file.Span(header.StreamOffset, HeadSize);
        var packing = PackingMagic.Of(head);
        var isPlain = new MigrationFormat().Recognizes(head, file.Length);
        var said = header.FormatName ?? $"format {header.Format}, which is not known";
        if (packing == Packing.None && !isPlain)
        {
            throw new ImageFormatException(
                $"'{file.Path}' is a libvirt save file ({said}) whose data at 0x{header.StreamOffset:x} are no migration stream, packed or not: it was never written, or is damaged");
        }
        var found = isPlain ? "raw" : PackingMagic.NameOf(packing);
        if (found != said && !(isPlain && said == "sparse"))
            remarks.Add($"the header says {said}, the data are {found}");
        return packing;
    }
}
