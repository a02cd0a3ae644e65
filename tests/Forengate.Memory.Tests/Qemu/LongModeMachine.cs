namespace Forengate.Memory.Tests.Qemu;

/// <summary>QEMU that runs <see cref="LongModeStub"/>: 32 MiB of RAM below 4 GiB where told so, the rest above, known bytes in both.</summary>
internal static class LongModeMachine
{
    /// <summary>Starts the machine and waits until the stub halts or loops; the machine runs.</summary>
    public static QemuMachine Start(string machine, params string[] arguments) => Start(["qemu-system-x86_64"], LongModeStub.Image(), machine, arguments);

    /// <summary>As the other, of another build of QEMU, or with another stub.</summary>
    public static QemuMachine Start(string[] program, byte[] stub, string machine, params string[] arguments)
    {
        var folder = Directory.CreateTempSubdirectory("forengate-stub-");
        try
        {
            var rom = Path.Combine(folder.FullName, "rom.bin");
            var image = Path.Combine(folder.FullName, "image.bin");
            var noise = Path.Combine(folder.FullName, "noise.bin");
            File.WriteAllBytes(rom, LongModeStub.Rom());
            File.WriteAllBytes(image, stub);
            var bytes = new byte[3 << 20];
            new Random(7).NextBytes(bytes);
            File.WriteAllBytes(noise, bytes);
            var qemu = QemuMachine.StartProgram(
                program,
                machine,
                [
                    "-bios", rom,
                    "-device", $"loader,file={image},addr=0x{LongModeStub.Code:x},force-raw=on",
                    "-device", $"loader,file={noise},addr=0x600000,force-raw=on",
                    "-device", $"loader,file={noise},addr=0x{LongModeStub.AboveFourGiB:x},force-raw=on",
                    .. arguments,
                ]);
            // A stub that does not halt loops in its second stage.
            for (var tries = 0; qemu.Monitor("info registers") is var said && !said.Contains("HLT=1", StringComparison.Ordinal) && !said.Contains("RIP=00000000000090", StringComparison.Ordinal); tries++)
            {
                Assert.True(tries < 500, "the stub did not halt");
                Thread.Sleep(20);
            }
            return qemu;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
