using System.Buffers.Binary;
using System.Text;
using Forengate.Testing.Hostile;

namespace Forengate.Symbols.Tests;

public sealed class PeImageTests
{
    private static readonly Guid Pdb = new("339e7413-3576-439c-bcdf-7e0229da3773");

    [Fact]
    public void The_headers_of_a_hand_made_image_are_read()
    {
        Assert.True(PeImage.TryParse(Image().AsSpan(0, 0x1000), out var image, out var reason), reason);
        Assert.Equal(0x8664, image.Machine);
        Assert.True(image.Is64Bit);
        Assert.Equal(0x1122_3344u, image.TimeDateStamp);
        Assert.Equal(0xFFFF_F800_1234_0000, image.ImageBase);
        Assert.Equal(0x4000u, image.SizeOfImage);
        Assert.Equal(0xABCDu, image.CheckSum);
        Assert.Equal(["PAGE", "INIT", "POOLCODE"], image.Sections.Select(section => section.Name));
        Assert.Equal([false, true, false], image.Sections.Select(section => section.IsDiscardable));
        Assert.Equal("INIT", image.SectionAt(0x2FFF)!.Value.Name);
        Assert.Null(image.SectionAt(0x4000));
        Assert.False(image.SectionsCutOff);
    }

    [Fact]
    public void Its_code_view_record_and_exports_are_read()
    {
        var bytes = new Loaded(Image());
        Assert.True(PeImage.TryRead(bytes, out var image, out _));
        Assert.True(image.TryReadCodeView(bytes, out var codeView, out var reason), reason);
        Assert.Equal(new CodeViewRecord("ntkrnlmp.pdb", Pdb, 1), codeView);
        Assert.Equal("339E74133576439CBCDF7E0229DA37731", codeView.Key);
        Assert.True(PeExports.TryRead(image, bytes, out var exports, out reason), reason);
        Assert.Equal("ntoskrnl.exe", exports.ModuleName);
        Assert.Equal(new PeExport("PsInitialSystemProcess", 0x3100, false), exports.Find("PsInitialSystemProcess"));
        Assert.Equal(new PeExport("NtBuildNumber", 0x3000, false), exports.Find("NtBuildNumber"));
        Assert.True(exports.Find("RtlForwarded")!.Value.IsForwarder);
        Assert.Null(exports.Find("NoSuchExport"));
        Assert.Null(exports.At(-1));
        Assert.Null(exports.At(exports.Count));
    }

    [Theory]
    [InlineData(0, "header page")]
    [InlineData(1, "debug directory")]
    [InlineData(2, "CodeView record")]
    public void A_page_that_is_gone_is_a_reason(int page, string what)
    {
        var bytes = new Loaded(Image(), page);
        var reason = "";
        if (PeImage.TryRead(bytes, out var image, out var none))
            Assert.False(image.TryReadCodeView(bytes, out _, out reason));
        Assert.Contains(what, none ?? reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Exports_whose_names_are_gone_cost_only_themselves()
    {
        // The middle name, by which bisection starts, points into a page that is not there.
        var file = Image();
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(0x1100 + 0x50 + 4), 0x2F00);
        var bytes = new Loaded(file, 2);
        Assert.True(PeImage.TryRead(bytes, out var image, out _));
        Assert.True(PeExports.TryRead(image, bytes, out var exports, out _));
        Assert.NotNull(exports.Find("NtBuildNumber"));
        Assert.NotNull(exports.Find("RtlForwarded"));
        Assert.Null(exports.Find("PsInitialSystemProcess"));
    }

    [Fact]
    public void What_is_no_image_is_refused_in_one_line()
    {
        Spoil(file => file[0] = 0, "no MZ");
        Spoil(file => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(0x3C), 0xFFFF_FFFC), "NT header");
        Spoil(file => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(0x3C), 0x82), "NT header");
        Spoil(file => file[0x80] = (byte)'N', "no PE signature");
        Spoil(file => file[0x98] = 7, "unknown form");
        Spoil(file => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(0x98 + 56), uint.MaxValue), "to span");
        Spoil(file => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(0x80 + 6), ushort.MaxValue), "sections");
        Spoil(file => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(0x80 + 20), 0x10), "too short");
        Assert.False(PeImage.TryParse([], out _, out var reason));
        Assert.Contains("no MZ", reason, StringComparison.Ordinal);

        static void Spoil(Action<byte[]> spoil, string expected)
        {
            var file = Image();
            spoil(file);
            Assert.False(PeImage.TryParse(file.AsSpan(0, 0x1000), out _, out var reason));
            Assert.Contains(expected, reason, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', reason);
        }
    }

    [Fact]
    public void Spoilt_images_never_harm_a_reader() => Bounded.Survives(Image(), seed: 0x5E, count: HostileRounds.Count(2000), ReadAll);

    [Fact]
    public void Truncated_images_never_harm_a_reader()
    {
        var file = Image();
        for (var length = 0; length < 0x400; length++)
            ReadAll(file[..length]);
    }

    /// <summary>Images that other people's linkers made.</summary>
    [Fact]
    public void Images_of_Wine_are_read()
    {
        const string folder = "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows";
        if (!Directory.Exists(folder))
            Assert.Skip("no Wine here");
        foreach (var (file, export) in new[] { ("ntoskrnl.exe", "PsGetCurrentProcessId"), ("kernel32.dll", "CreateFileW"), ("ntdll.dll", "NtCreateFile"), ("user32.dll", "MessageBoxW") })
        {
            var content = File.ReadAllBytes(Path.Combine(folder, file));
            Assert.True(PeImage.TryParse(content, out var image, out var reason), reason);
            var bytes = new PeFileBytes(content, image);
            Assert.True(PeExports.TryRead(image, bytes, out var exports, out reason), reason);
            Assert.Equal(file, exports.ModuleName, ignoreCase: true);
            Assert.NotNull(exports.Find(export));
            Assert.All(Enumerable.Range(0, exports.Count), i => Assert.NotNull(exports.At(i)));
            Assert.All(image.Sections, section => Assert.True(section.VirtualAddress < image.SizeOfImage));
        }
    }

    private static void ReadAll(byte[] file)
    {
        if (!PeImage.TryParse(file, out var image, out _))
            return;
        foreach (var bytes in new IImageBytes[] { new Loaded(file), new PeFileBytes(file, image), new Loaded(file, 2) })
        {
            _ = image.TryReadCodeView(bytes, out _, out _);
            if (!PeExports.TryRead(image, bytes, out var exports, out _))
                continue;
            _ = exports.Find("PsInitialSystemProcess");
            for (var i = 0; i < Math.Min(exports.Count, 64); i++)
                _ = exports.At(i);
        }
        foreach (var section in image.Sections)
            _ = image.SectionAt(section.VirtualAddress);
    }

    /// <summary>An image of four pages as it lies loaded: header; exports and debug directory; CodeView record; data.</summary>
    private static byte[] Image()
    {
        var file = new byte[0x4000];
        U16(0, 0x5A4D);
        U32(0x3C, 0x80);
        U32(0x80, 0x4550);
        U16(0x84, 0x8664);
        U16(0x86, 3);
        U32(0x88, 0x1122_3344);
        U16(0x94, 0xF0);
        U16(0x98, 0x20B);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(0x98 + 24), 0xFFFF_F800_1234_0000);
        U32(0x98 + 32, 0x1000);
        U32(0x98 + 56, 0x4000);
        U32(0x98 + 60, 0x400);
        U32(0x98 + 64, 0xABCD);
        U16(0x98 + 68, 1);
        U32(0x98 + 108, 16);
        U32(0x98 + 112, 0x1100);
        U32(0x98 + 116, 0x200);
        U32(0x98 + 112 + 48, 0x1000);
        U32(0x98 + 112 + 52, 28);
        foreach (var (i, name, flags) in new[] { (0, "PAGE", 0x6000_0020u), (1, "INIT", 0x6200_0020u), (2, "POOLCODE", 0x6800_0020u) })
        {
            var header = 0x188 + (i * 40);
            Encoding.ASCII.GetBytes(name).CopyTo(file, header);
            U32(header + 8, 0x1000);
            U32(header + 12, (uint)(0x1000 * (i + 1)));
            U32(header + 16, 0x1000);
            U32(header + 20, (uint)(0x1000 * (i + 1)));
            U32(header + 36, flags);
        }

        U32(0x1000 + 12, 2);
        U32(0x1000 + 16, 24 + 13);
        U32(0x1000 + 20, 0x2000);
        "RSDS"u8.CopyTo(file.AsSpan(0x2000));
        Pdb.TryWriteBytes(file.AsSpan(0x2004));
        U32(0x2014, 1);
        "ntkrnlmp.pdb\0"u8.CopyTo(file.AsSpan(0x2018));

        // Export directory at 0x1100: functions at +0x40, names at +0x50, ordinals at +0x60, text from +0x80.
        U32(0x1100 + 12, 0x1180);
        U32(0x1100 + 20, 3);
        U32(0x1100 + 24, 3);
        U32(0x1100 + 28, 0x1140);
        U32(0x1100 + 32, 0x1150);
        U32(0x1100 + 36, 0x1160);
        foreach (var (i, rva) in new[] { (0, 0x3000u), (1, 0x3100u), (2, 0x12F0u) })
            U32(0x1140 + (i * 4), rva);
        foreach (var (i, text) in new[] { (0, "NtBuildNumber"), (1, "PsInitialSystemProcess"), (2, "RtlForwarded") })
        {
            U32(0x1150 + (i * 4), (uint)(0x11A0 + (i * 0x20)));
            U16(0x1160 + (i * 2), (ushort)i);
            Encoding.ASCII.GetBytes(text).CopyTo(file, 0x11A0 + (i * 0x20));
        }
        "ntoskrnl.exe\0"u8.CopyTo(file.AsSpan(0x1180));
        return file;

        void U16(int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(offset), value);
        void U32(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(offset), value);
    }

    /// <summary>An image in memory of which pages are gone.</summary>
    private sealed class Loaded(byte[] file, params int[] gone) : IImageBytes
    {
        public bool TryRead(uint rva, Span<byte> destination)
        {
            if (rva > file.Length || destination.Length > file.Length - (int)rva)
                return false;
            for (var page = rva >> 12; page <= (rva + (uint)Math.Max(destination.Length, 1) - 1) >> 12; page++)
            {
                if (gone.Contains((int)page))
                    return false;
            }
            file.AsSpan((int)rva, destination.Length).CopyTo(destination);
            return true;
        }
    }
}
