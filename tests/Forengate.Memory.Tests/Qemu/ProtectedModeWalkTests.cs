namespace Forengate.Memory.Tests.Qemu;

/// <summary>Walks of 32-bit and PAE tables against those of a real QEMU.</summary>
public sealed class ProtectedModeWalkTests
{
    private static readonly ulong[] Addresses =
    [
        0, 0x8123, 0x1F_FFFF, 0x20_0000, 0x3F_FFFF, 0x40_0000, 0x80_0000, 0x9F_FFFF, 0x100_0000, 0x13F_F123, 0x8000_0000, 0x8000_0FFF, 0x8000_1000, 0x8000_2000, 0x8000_7ABC,
        0x8020_0000, 0x8040_0000, 0x8040_0123, 0x805F_FFFF, 0x8080_0000, 0xC000_0000, 0xC030_0000, 0xC030_0C00, 0xC060_0000, 0xC060_3010, 0xC020_0000, 0xC040_0000, 0xFFFF_F000, 0x4000_0000,
    ];

    [Theory, InlineData(true), InlineData(false)]
    public void Page_walks_equal_QEMUs_own(bool pae)
    {
        using var qemu = Start(pae);
        using var view = ImageReader.Open(qemu.Dump(paging: false));
        var levels = pae ? 3 : 2;
        var cpu = view.Cpus[0];
        Assert.Equal(pae ? ProtectedModeStub.PaeTop : ProtectedModeStub.LegacyTop, cpu.Cr3);
        Assert.Equal(levels, (cpu with { Efer = 0x800 }).PagingLevels);
        var space = new AddressSpace(view.Memory, cpu.Cr3!.Value, levels);
        var batch = new Translation[Addresses.Length];
        space.Translate(Array.ConvertAll(Addresses, address => new VirtualAddress(address)), batch);
        var mappings = space.Mappings(new VirtualAddress(0), new VirtualAddress(0xFFFF_FFFF)).ToList();
        var mapped = 0;
        for (var i = 0; i < Addresses.Length; i++)
        {
            var said = qemu.Monitor($"gva2gpa 0x{Addresses[i]:x}").Trim();
            var translation = space.Translate(new VirtualAddress(Addresses[i]));
            Assert.Equal(translation, batch[i]);
            Assert.Equal($"0x{Addresses[i]:x} {said}", $"0x{Addresses[i]:x} {(translation.Ok ? translation.Address.Value == 0 ? "gpa: 0" : $"gpa: 0x{translation.Address.Value:x}" : "Unmapped")}");
            var page = mappings.Find(mapping => Addresses[i] >= mapping.Address.Value && Addresses[i] - mapping.Address.Value < mapping.Size);
            // The walk down does not enter tables that are on its way already: of the self-map only those appear that are not.
            if (page.Size != 0 || Addresses[i] < 0xC000_0000)
                Assert.Equal(translation.Ok ? translation.Address.Value : (ulong?)null, page.Size == 0 ? null : page.Physical.Value + (Addresses[i] - page.Address.Value));
            mapped += translation.Ok ? 1 : 0;
        }
        Assert.InRange(mapped, 10, Addresses.Length - 5);
        // Windows keeps 32-bit addresses sign-extended in its 64-bit structures.
        Assert.Equal(space.Translate(new VirtualAddress(0x8000_0010)), space.Translate(new VirtualAddress(0xFFFF_FFFF_8000_0010)));
        Assert.Equal(TranslationFault.NotCanonical, space.Translate(new VirtualAddress(0x1_0000_0000)).Fault);
    }

    private static QemuMachine Start(bool pae)
    {
        var folder = Directory.CreateTempSubdirectory("forengate-stub-");
        try
        {
            var rom = Path.Combine(folder.FullName, "rom.bin");
            var image = Path.Combine(folder.FullName, "image.bin");
            File.WriteAllBytes(rom, LongModeStub.Rom());
            File.WriteAllBytes(image, ProtectedModeStub.Image(pae));
            var qemu = QemuMachine.Start("pc,max-ram-below-4g=32M", "-bios", rom, "-device", $"loader,file={image},addr=0x{ProtectedModeStub.Code:x},force-raw=on");
            for (var tries = 0; !qemu.Monitor("info registers").Contains("HLT=1", StringComparison.Ordinal); tries++)
            {
                Assert.True(tries < 500, "the stub did not halt");
                Thread.Sleep(20);
            }
            qemu.Command("stop");
            return qemu;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
