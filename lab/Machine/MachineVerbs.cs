using System.Globalization;
using System.Text.Json;

namespace Forengate.Lab.Machine;

/// <summary>The verbs of the <c>twin</c> program that have to do with running machines.</summary>
public static class MachineVerbs
{
    public const string Usage = """
          twin start DIR [options]        boots the image in DIR; returns when every CPU is in its place
              --libvirt URI               as a domain of that libvirt (twin libvirt start prints the URI)
              --name NAME                 name of the guest (twin)
              --machine pc|q35  --cpu MODEL  --backend anon|memfd|file  --numa N  --monitors N  --vga  --vmcoreinfo
              --panic isa|pci|both  --watchdog ACTION  --on-crash ACTION (libvirt's; preserve)
              --paused                    leaves the CPUs at the reset vector
              --threads                   a host thread for each CPU
          twin stop DIR                   ends it
          twin status DIR                 what runs there, as JSON
          twin send DIR ping|INDEX|hot|cool|isa|pci|watchdog...
                                          asks for a sign of life, runs entries of the command table, has the hot area written to without pause or left alone,
                                          crashes by pvpanic or hangs until the watchdog runs out
          twin libvirt start|stop DIR     a libvirt daemon of its own below DIR; start prints its URI
        """;

    private static readonly JsonSerializerOptions Plain = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Whether a word is one of these verbs.</summary>
    public static bool Knows(string verb) => verb is "start" or "stop" or "status" or "send" or "libvirt";

    /// <summary>Runs a verb. 0 done, 1 failed with the reason on stderr, 2 wrong command line.</summary>
    public static int Run(string[] arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        try
        {
            return arguments switch
            {
                ["start", var directory, .. var options] => Start(directory, Parse(options)),
                ["stop", var directory] => Stop(directory),
                ["status", var directory] => Status(directory),
                ["send", var directory, .. { Length: > 0 } requests] => Send(directory, requests),
                ["libvirt", "start", var directory] => StartLibvirt(directory),
                ["libvirt", "stop", var directory] => StopLibvirt(directory),
                _ => throw new ArgumentException("usage:\n" + Usage),
            };
        }
        catch (ArgumentException e)
        {
            Console.Error.WriteLine($"twin: {e.Message}");
            return 2;
        }
        catch (Exception e) when (e is MachineException or BootPlanException or QmpException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"twin: {e.Message}");
            return 1;
        }
    }

    private static int Start(string directory, MachineOptions options)
    {
        var twin = TwinMachine.Start(SavedPlan.Load(directory), options);
        Print(twin);
        return 0;
    }

    private static int Stop(string directory)
    {
        if (TwinMachine.Open(directory) is not { } twin)
            throw new MachineException($"{directory}: no machine was started here");
        return twin.Stop() ? 0 : throw new MachineException($"process {twin.Pid} does not end");
    }

    private static int Status(string directory)
    {
        if (TwinMachine.Open(directory) is not { } twin)
            throw new MachineException($"{directory}: no machine was started here");
        Print(twin);
        return 0;
    }

    private static int Send(string directory, string[] requests)
    {
        if (TwinMachine.Open(directory) is not { } twin)
            throw new MachineException($"{directory}: no machine was started here");
        foreach (var request in requests)
        {
            if (request == "ping")
                twin.Ping();
            else if (request is "hot" or "cool")
                twin.Hot(request == "hot");
            else if (request is "isa" or "pci" or "watchdog")
                twin.Panic(Enum.Parse<PanicWay>(request, ignoreCase: true));
            else if (byte.TryParse(request, NumberStyles.None, CultureInfo.InvariantCulture, out var index))
                twin.Command(index);
            else
                throw new ArgumentException($"'{request}' is none of ping, hot, cool, isa, pci and watchdog, nor a number from 0 to 255");
        }
        return 0;
    }

    private static int StartLibvirt(string directory)
    {
        Console.WriteLine(LibvirtDaemon.Start(directory).Uri);
        return 0;
    }

    private static int StopLibvirt(string directory)
    {
        if (LibvirtDaemon.Open(directory) is not { } daemon)
            throw new MachineException($"{directory}: no libvirt runs here");
        return daemon.Stop() ? 0 : throw new MachineException($"process {daemon.Pid} does not end");
    }

    private static void Print(TwinMachine twin) => Console.WriteLine(JsonSerializer.Serialize(new
    {
        name = twin.Name, running = twin.IsRunning, pid = twin.Pid, qmp = twin.QmpSockets, serial = twin.SerialSocket, libvirt = twin.LibvirtUri,
    }, Plain));

    private static MachineOptions Parse(string[] words)
    {
        var options = new MachineOptions();
        for (var i = 0; i < words.Length; i++)
        {
            var word = words[i];
            string Value() => ++i < words.Length ? words[i] : throw new ArgumentException($"{word} wants a value");
            int Number() => int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out var n) ? n : throw new ArgumentException($"{word} wants a number");
            options = word switch
            {
                "--libvirt" => options with { LibvirtUri = Value() },
                "--name" => options with { Name = Value() },
                "--machine" => options with { Machine = Value() },
                "--cpu" => options with { Cpu = Value() },
                "--backend" => options with { Backend = Value() switch
                {
                    "anon" => RamBackend.Anonymous, "memfd" => RamBackend.Memfd, "file" => RamBackend.File,
                    var other => throw new ArgumentException($"backend '{other}': anon, memfd and file can be had"),
                } },
                "--numa" => options with { NumaNodes = Number() },
                "--monitors" => options with { Monitors = Number() },
                "--vga" => options with { Vga = true },
                "--vmcoreinfo" => options with { VmCoreInfo = true },
                "--panic" => Value() switch
                {
                    "isa" => options with { PanicIsa = true }, "pci" => options with { PanicPci = true }, "both" => options with { PanicIsa = true, PanicPci = true },
                    var other => throw new ArgumentException($"panic '{other}': isa, pci and both can be had"),
                },
                "--watchdog" => options with { Watchdog = Value() },
                "--on-crash" => options with { OnCrash = Value() },
                "--paused" => options with { Paused = true },
                "--threads" => options with { SingleThread = false },
                _ => throw new ArgumentException($"unknown option {word}\n{Usage}"),
            };
        }
        return options;
    }
}
