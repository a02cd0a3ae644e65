using System.Globalization;
using System.Text.Json;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;
using Forengate.Lab.Truth;

namespace Forengate.Lab;

/// <summary><c>twin make DIR</c>: builds an image and writes it down.</summary>
internal static class MakeVerb
{
    public const string Usage = """
        twin make DIR [options]    writes DIR/truth.json, DIR/boot.json and DIR/memory/*.bin, for 'twin start DIR'
          --build NAME      7601, 9600, 14393, 17763, 19041, 20348, 22000, or a version or PDB GUID of 'twin builds' (19041)
          --seed N          same seed and options, same image (1)
          --memory MIB      128 to 8192 (512)       --low-memory MIB   RAM below the PCI hole (as QEMU's pc machine)
          --cpus N          1 to 64 (1)             --cpu-modes M      kernel, user, entry, mixed (kernel)
          --vbs N           the last N CPUs are caught outside of Windows, in turn in the secure kernel and in the hypervisor (0)
          --processes N     1 to 5000 (40)          --threads N        most a process has (4)
          --drivers N       2 to 200 (60)           --kva on|off       (on)       --kdbg plain|encoded (encoded)
          --hidden N        processes unlinked (1)  --hidden-drivers N (1)        --exited N (2)       --spare N (4)
          --levels 4|5      of page tables; 5 with CR4.LA57, from build 20348 on (4)
          --free PAGES      free with stale content (256)   --standby PAGES (512)   --modified PAGES (64)   of files
          --hot PAGES       a power of two: 'twin send DIR hot' has CPU 0 write the rising counter into page (counter mod PAGES) of them (0)
          --plug ADDR+MIB[xN]  memory that comes later (N modules with holes between them): at its command the guest takes it into use, as Windows does
          --zeroed PAGES    most that are zeroed, the rest is held by a driver (all)
          --panic command|isa|pci   can be told to crash (twin send), or does at boot by that device
          --fill PERCENT    of free RAM (0)         --bugcheck CODE,P1,P2,P3,P4   (hex)
          --note            the dump header that virtio-win's fwcfg driver leaves for QEMU's win-dmp; start it with --vmcoreinfo
          --shuffle SEED    fields of the kernel's private structures and its globals lie elsewhere: a kernel no table knows; truth.json has the layouts
          --hide-build      another PDB, time stamp and image size: a build no list has, with layouts as they are
          --raw             DIR/memory.raw too: a flat file by guest-physical address, for readers of images
        """;

    public static int Run(ReadOnlySpan<string> arguments)
    {
        string? folder = null;
        var raw = false;
        var options = new TwinOptions();
        for (var i = 0; i < arguments.Length; i++)
        {
            var name = arguments[i];
            if (name == "--raw")
            {
                raw = true;
            }
            else if (TryFlag(ref options, name))
            {
            }
            else if (name.StartsWith("--", StringComparison.Ordinal))
            {
                if (++i == arguments.Length)
                    throw new UsageException($"{name} needs a value");
                options = With(options, name, arguments[i]);
            }
            else if (folder is null)
            {
                folder = name;
            }
            else
            {
                throw new UsageException($"'{name}' is one argument too many");
            }
        }
        if (folder is null)
            throw new UsageException("twin make needs a folder to write to");
        Write(ImageBuilder.Build(options, KernelCatalog.Load(options.Build), GuestCode.Assemble), folder, raw);
        return 0;
    }

    /// <summary>Sets an option that takes no value; false when it is none of them.</summary>
    public static bool TryFlag(ref TwinOptions options, string name)
    {
        if (name == "--note")
            options = options with { Note = true };
        else if (name == "--hide-build")
            options = options with { HideBuild = true };
        else
            return false;
        return true;
    }

    /// <summary>Sets one option by its name on the command line.</summary>
    /// <exception cref="UsageException">There is no such option, or the value does not fit it.</exception>
    public static TwinOptions With(TwinOptions options, string name, string value) => name switch
    {
        "--build" => options with { Build = value },
        "--seed" => options with { Seed = (ulong)Number(name, value) },
        "--memory" => options with { MemorySize = (ulong)Number(name, value) * TwinOptions.MiB },
        "--low-memory" => options with { LowSize = (ulong)Number(name, value) * TwinOptions.MiB },
        "--cpus" => options with { CpuCount = (int)Number(name, value) },
        "--cpu-modes" => options with
        {
            CpuModes = value switch
            {
                "kernel" => CpuModes.Kernel, "user" => CpuModes.User, "entry" => CpuModes.Entry, "mixed" => CpuModes.Mixed, _ => throw Refuse(name, value),
            },
        },
        "--vbs" => options with { OutsideCpus = (int)Number(name, value) },
        "--processes" => options with { Processes = (int)Number(name, value) },
        "--threads" => options with { Threads = (int)Number(name, value) },
        "--drivers" => options with { Drivers = (int)Number(name, value) },
        "--kva" => options with { KvaShadow = value switch { "on" => true, "off" => false, _ => throw Refuse(name, value) } },
        "--kdbg" => options with { KdbgEncoded = value switch { "encoded" => true, "plain" => false, _ => throw Refuse(name, value) } },
        "--hidden" => options with { HiddenProcesses = (int)Number(name, value) },
        "--hidden-drivers" => options with { HiddenDrivers = (int)Number(name, value) },
        "--exited" => options with { ExitedProcesses = (int)Number(name, value) },
        "--spare" => options with { SpareProcesses = (int)Number(name, value) },
        "--free" => options with { FreePages = (int)Number(name, value) },
        "--standby" => options with { StandbyPages = (int)Number(name, value) },
        "--modified" => options with { ModifiedPages = (int)Number(name, value) },
        "--hot" => options with { HotPages = (int)Number(name, value) },
        "--zeroed" => options with { ZeroedPages = (int)Number(name, value) },
        "--fill" => options with { FillPercent = (int)Number(name, value) },
        "--levels" => options with { Levels = (int)Number(name, value) },
        "--shuffle" => options with { Shuffle = Number(name, value) },
        "--plug" => options with { Plug = PlugPlan.Parse(value) ?? throw Refuse(name, value) },
        "--panic" => value switch
        {
            "command" => options with { Panic = true }, "isa" => options with { Panic = true, PanicAtBoot = PanicWay.Isa }, "pci" => options with { Panic = true, PanicAtBoot = PanicWay.Pci }, _ => throw Refuse(name, value),
        },
        "--bugcheck" => options with { Bugcheck = ParseBugcheck(name, value) },
        _ => throw new UsageException($"{name} is no option of 'twin make'"),
    };

    public static void Write(TwinImage image, string folder, bool raw)
    {
        Directory.CreateDirectory(folder);
        using (var truth = File.Create(Path.Combine(folder, "truth.json")))
            JsonSerializer.Serialize(truth, TruthBuilder.Build(image), TruthJson.Readable.TruthDocument);
        File.WriteAllBytes(Path.Combine(folder, TruthBuilder.PageFramesFile), image.Frames.States);
        SavedPlan.Save(image.Plan, folder);
        if (raw)
            WriteRaw(image.Plan, Path.Combine(folder, "memory.raw"));
    }

    private static void WriteRaw(BootPlan plan, string path)
    {
        using var file = File.Create(path);
        file.SetLength((long)(plan.MemorySize == plan.LowSize ? plan.LowSize : GuestRam.HighBase + plan.MemorySize - plan.LowSize));
        foreach (var segment in plan.Segments)
        {
            file.Position = (long)segment.Address;
            file.Write(segment.Bytes.Span);
        }
    }

    private static Bugcheck ParseBugcheck(string name, string value)
    {
        var words = value.Split(',');
        var numbers = new ulong[5];
        for (var i = 0; i < words.Length; i++)
        {
            var digits = words[i].StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? words[i].AsSpan(2) : words[i];
            if (i >= 5 || !ulong.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out numbers[i]))
                throw Refuse(name, value);
        }
        return new Bugcheck((uint)numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
    }

    private static uint Number(string name, string value) => uint.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Refuse(name, value);

    private static UsageException Refuse(string name, string value) => new($"{name} does not take '{value}'");
}
