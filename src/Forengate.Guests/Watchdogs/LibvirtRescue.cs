using System.Text.Json;

namespace Forengate.Guests;

/// <summary>Resumes a domain over a libvirt connection of the watchdog's own.</summary>
internal sealed class LibvirtRescue : GuestRescue
{
    /// <summary>How long a hung Forengate may keep the domain's job before it is ended for the guest's sake.</summary>
    private static readonly TimeSpan s_jobPatience = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan s_whole = TimeSpan.FromSeconds(60);

    private readonly string _uri;
    private readonly string _name;
    private LibvirtConnection _connection;
    private LibvirtDomain _domain;

    private LibvirtRescue(string uri, string name, LibvirtConnection connection, LibvirtDomain domain)
    {
        _uri = uri;
        _name = name;
        _connection = connection;
        _domain = domain;
    }

    public static LibvirtRescue Open(string uri, string name)
    {
        var connection = LibvirtConnection.Open(uri, readOnly: false, CancellationToken.None);
        var domain = connection.Find(name, CancellationToken.None);
        if (domain is null)
        {
            connection.Dispose();
            throw new GuestException(GuestFailure.NotFound, $"libvirt:{name}: no such guest at {uri}");
        }
        return new LibvirtRescue(uri, name, connection, domain);
    }

    public override string? Continue(int hungParent)
    {
        var done = false;
        if (hungParent > 0)
        {
            var ender = new Thread(() =>
            {
                Thread.Sleep(s_jobPatience);
                if (!Volatile.Read(ref done))
                    _ = LinuxNative.Kill(hungParent, LinuxNative.SIGKILL);
            })
            { IsBackground = true };
            ender.Start();
        }
        var until = Environment.TickCount64 + (long)s_whole.TotalMilliseconds;
        for (; ; )
        {
            try
            {
                LibvirtCall.Run("continuing the guest", () => { _domain.Resume(); return true; }, CancellationToken.None);
                Volatile.Write(ref done, true);
                return null;
            }
            catch (GuestException e)
            {
                if (Stands() == false)
                {
                    Volatile.Write(ref done, true);
                    return null;
                }
                if (Environment.TickCount64 >= until)
                    return e.Message;
                Thread.Sleep(200);
                TryReconnect();
            }
        }
    }

    protected override JsonElement Ask(string command, Action<Utf8JsonWriter>? arguments, int descriptor)
    {
        var until = Environment.TickCount64 + (long)s_whole.TotalMilliseconds;
        for (; ; )
        {
            try
            {
                var line = MonitorCommands.Line(command, arguments);
                var answer = LibvirtCall.Run("a monitor command", () => descriptor == None ? _domain.MonitorCommand(line, human: false) : _domain.MonitorCommand(line, descriptor), CancellationToken.None);
                return MonitorCommands.ReturnOf(_name, command, answer ?? throw new QmpRefusedException(command, "this libvirt passes no descriptors to QEMU (8.2.0 and later do)"));
            }
            catch (GuestException e)
            {
                if (IsOff())
                    throw new GuestException(GuestFailure.Vanished, $"{_name} is off", e);
                if (Environment.TickCount64 >= until)
                    throw;
                Thread.Sleep(200);
                TryReconnect();
            }
        }
    }

    private bool IsOff()
    {
        try
        {
            return LibvirtCall.Run("asking for the state", _domain.TryDescribe, CancellationToken.None)?.State == GuestState.ShutOff;
        }
        catch (GuestException)
        {
            return false;
        }
    }

    /// <summary>False when the guest runs or is off; null when libvirt does not say.</summary>
    private bool? Stands()
    {
        try
        {
            return LibvirtCall.Run("asking for the state", _domain.TryDescribe, CancellationToken.None)?.State switch
            {
                null => null,
                GuestState.Running or GuestState.Blocked or GuestState.ShutOff => false,
                _ => true,
            };
        }
        catch (GuestException)
        {
            return null;
        }
    }

    /// <summary>The daemon may have been restarted, and the old connection dead with it.</summary>
    private void TryReconnect()
    {
        if (Stands() is not null)
            return;
        try
        {
            var again = Open(_uri, _name);
            (_connection, _domain) = (again._connection, again._domain);
        }
        catch (GuestException)
        {
            // Tried again in the next round.
        }
    }

    protected override void Dispose(bool disposing)
    {
        _domain.Dispose();
        _connection.Dispose();
    }
}
